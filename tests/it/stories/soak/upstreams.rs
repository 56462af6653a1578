//! What happens at GitHub, each time with the webhook that tells of it.

use rand::Rng as _;
use rand::rngs::StdRng;
use starkeep::domain::ids::GithubId;
use starkeep::simulator::Delivery;

use crate::world::{FAN, World};

pub(super) struct Upstreams {
    all: Vec<(GithubId, bool)>,
    most: usize,
    changes: u64,
    /// Deliveries that were answered 202.
    pub(super) accepted: Vec<String>,
}

impl Upstreams {
    pub(super) fn new(most: usize) -> Self {
        Self { all: Vec::new(), most, changes: 0, accepted: Vec::new() }
    }

    pub(super) fn starred(&self) -> impl Iterator<Item = GithubId> {
        self.all.iter().filter(|(_, starred)| *starred).map(|(id, _)| *id)
    }

    pub(super) fn let_go(&self) -> impl Iterator<Item = GithubId> {
        self.all.iter().filter(|(_, starred)| !*starred).map(|(id, _)| *id)
    }

    /// Something, and its name.
    pub(super) fn change(&mut self, world: &World, random: &mut StdRng) -> (&'static str, Delivery) {
        self.changes += 1;
        let is_new = self.all.len() < 5 || self.all.len() < self.most && random.random_bool(0.3);
        if is_new {
            let id = world.repository("octo", &format!("repository-{}", self.all.len()));
            self.all.push((id, true));
            return ("star", world.github().star(FAN, id).unwrap());
        }
        let chosen = random.random_range(0..self.all.len());
        let (id, starred) = &mut self.all[chosen];
        if !*starred {
            *starred = true;
            return ("star again", world.github().star(FAN, *id).unwrap());
        }
        if random.random_bool(0.06) {
            *starred = false;
            return ("un-star", world.github().unstar(FAN, *id).unwrap());
        }
        (push(world, random, *id, self.changes), world.github().push(*id, "refs/heads/main", None, None).unwrap())
    }
}

fn push(world: &World, random: &mut StdRng, id: GithubId, n: u64) -> &'static str {
    let github = world.github();
    let side = format!("side-{}", n % 3);
    match random.random_range(0..6) {
        0 => {
            github.force_branch(id, "main").unwrap();
            "force-push"
        }
        1 => {
            let tip = github.tip(id, "refs/heads/main").unwrap().unwrap();
            github.annotated_tag(id, &format!("v{n}"), tip).unwrap();
            "tag"
        }
        2 if github.tip(id, &format!("refs/heads/{side}")).unwrap().is_some() => {
            github.delete_ref(id, &format!("refs/heads/{side}")).unwrap();
            "branch deleted"
        }
        2 | 3 => {
            github.commit(id, &side, "file", &n.to_string()).unwrap();
            "branch"
        }
        _ => {
            github.commit(id, "main", "file", &n.to_string()).unwrap();
            "push"
        }
    }
}
