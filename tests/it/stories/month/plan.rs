//! What happens in the month: how many of each event, on which days, in what weather. Which repository each
//! event meets is drawn on its day, among those to which it can happen.

use super::beside::GUILD;
use super::dice::Dice;
use super::model::{Fate, Model, Repo};

pub const DAYS: usize = 30;
/// The number of repositories that the counts below are for.
pub const COUNTED_FOR: usize = 300;

const LEAST: usize = 2;

/// What can happen to a repository in a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    Star,
    Unstar,
    /// Starred again, after the star was taken back.
    Restar,
    Push,
    Force,
    Branch,
    /// A branch is deleted.
    Prune,
    Tag,
    /// A tag moves.
    Retag,
    /// Every branch and tag goes.
    Empty,
    Rename,
    Transfer,
    /// Its owner takes another login, so that all of his repositories have other names.
    NewLogin,
    /// It is renamed, and a new repository takes its name and is starred too.
    TakeOver,
    /// Somebody forks it, and the fork is starred too.
    Fork,
    Hide,
    Show,
    /// Its owner makes it read-only.
    Archive,
    Describe,
    Delete,
    /// GitHub takes it down.
    Block,
    /// GitHub shows it again.
    Unblock,
    /// The user puts it into one of his lists, or takes it out of one.
    List,
    Unlist,
    /// The organization that is a source has a new repository.
    Found,
}

/// How often each happens among [`COUNTED_FOR`] repositories; at least [`LEAST`] times among fewer.
pub const DECK: [(Event, usize); 24] = [
    (Event::Unstar, 14),
    (Event::Restar, 6),
    (Event::Push, 40),
    (Event::Force, 20),
    (Event::Branch, 14),
    (Event::Prune, 12),
    (Event::Tag, 10),
    (Event::Retag, 8),
    (Event::Empty, 3),
    (Event::Rename, 12),
    (Event::Transfer, 8),
    (Event::NewLogin, 3),
    (Event::TakeOver, 8),
    (Event::Fork, 4),
    (Event::Hide, 4),
    (Event::Show, 2),
    (Event::Archive, 4),
    (Event::Describe, 4),
    (Event::Delete, 6),
    (Event::Block, 2),
    (Event::Unblock, 1),
    (Event::List, 30),
    (Event::Unlist, 8),
    (Event::Found, 4),
];

/// What is wrong on a day beside what happens to repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    Fair,
    /// No webhook of this day ever arrives.
    LostWebhooks,
    /// Each webhook of this day arrives twice.
    TwiceTold,
    /// GitHub answers 503 to whatever is asked.
    Outage,
    /// GitHub cannot be reached.
    Silence,
    /// GitHub refuses the token.
    LostToken,
    /// The service is stopped in the middle of its work, and started again.
    Restart,
    /// Its process is killed in the middle of its work, and started again.
    Kill,
    /// GitHub shows nothing of one owner, and shows it again on the same day.
    Mistake,
    /// GitHub shows nothing of one owner any more.
    Purge,
}

impl Weather {
    /// Whether the service can see what happened before the day ends.
    pub fn is_clear(self) -> bool {
        !matches!(self, Self::Outage | Self::Silence | Self::LostToken)
    }
}

/// A day of the month.
#[derive(Debug)]
pub struct Day {
    pub number: usize,
    pub weather: Weather,
    pub events: Vec<Event>,
}

/// Every day of the month. `stars` repositories are starred in its course.
pub fn month(dice: &mut Dice, repositories: usize, stars: usize) -> Vec<Day> {
    use Weather::{Fair, Kill, LostToken, LostWebhooks, Mistake, Outage, Purge, Restart, Silence, TwiceTold};
    let mut weather = vec![Outage, Silence, LostToken, LostToken, Restart, Restart, Restart, Kill, Kill, TwiceTold];
    weather.extend([LostWebhooks; 4]);
    weather.extend([Mistake, Purge]);
    // The last day is a fair one, so that the month ends with all of it seen.
    weather.resize(DAYS - 1, Fair);
    dice.shuffle(&mut weather);
    let day = |which| weather.iter().position(|it| *it == which).unwrap();
    let (mistake, purge) = (day(Mistake), day(Purge));
    if purge < mistake {
        weather.swap(purge, mistake);
    }
    weather.push(Fair);
    let mut deck = vec![Event::Star; stars];
    for (event, count) in DECK {
        deck.extend(vec![event; (count * repositories / COUNTED_FOR).max(LEAST.min(count))]);
    }
    dice.shuffle(&mut deck);
    let mut days: Vec<Day> =
        (0..DAYS).map(|number| Day { number, weather: weather[number], events: Vec::new() }).collect();
    for event in deck {
        // What must follow on something else has its time in the second half.
        let day = match event {
            Event::Block | Event::Hide | Event::List => dice.below(DAYS / 2),
            Event::Restar | Event::Show | Event::Unblock | Event::Unlist => DAYS / 2 + dice.below(DAYS / 2),
            _ => dice.below(DAYS),
        };
        days[day].events.push(event);
    }
    days
}

/// To which repository an event happens today: none that something else happened to since the service last
/// saw it, so that what must come of it does not hang on who is faster.
pub fn choose(dice: &mut Dice, model: &Model, event: Event) -> Option<usize> {
    let may = |repo: &Repo| {
        let lives = repo.fate.is_none();
        let (kept, followed) = (lives && repo.followed(), lives && repo.followed() && !repo.firm);
        match event {
            Event::Star => lives && !repo.ever,
            Event::Restar => lives && repo.ever && !repo.starred,
            Event::Unstar => followed && repo.starred,
            Event::Describe | Event::Tag | Event::Branch | Event::Push => kept,
            Event::Force | Event::Empty => kept && !repo.empty,
            Event::Prune => kept && !repo.empty && repo.branches > 0,
            Event::Retag => kept && !repo.empty && repo.tags > 0,
            // Repositories that nobody stars any more are renamed as well.
            Event::Rename | Event::Transfer => lives && repo.ever && !repo.firm,
            // A source goes by its owner's login.
            Event::NewLogin => {
                let same = |it: &&Repo| it.owner == repo.owner;
                followed && !model.repos.iter().filter(same).any(|it| it.unseen || it.declared || it.firm)
            }
            Event::TakeOver => followed,
            Event::Fork => kept && !repo.empty,
            Event::Hide => followed && !repo.hidden,
            Event::Show => followed && repo.hidden,
            Event::Archive => kept && !repo.read_only,
            // Forks live on the objects of their parent, as they do at GitHub; the simulator would lose them.
            Event::Delete => followed && !repo.forked,
            Event::Block => followed,
            Event::Unblock => repo.fate == Some(Fate::Blocked) && repo.followed() && !repo.firm,
            Event::List => lives && repo.starred,
            Event::Unlist => lives && !repo.lists.is_empty(),
            Event::Found => repo.owner == GUILD,
        }
    };
    let writes = matches!(
        event,
        Event::Push | Event::Force | Event::Branch | Event::Prune | Event::Tag | Event::Retag | Event::Empty
    );
    let fits = |repo: &Repo| may(repo) && !repo.unseen && !(writes && repo.read_only);
    let all: Vec<usize> = (0..model.repos.len()).filter(|it| fits(&model.repos[*it])).collect();
    dice.pick(&all)
}
