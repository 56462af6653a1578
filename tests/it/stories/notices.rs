//! People are told what became of mirrors: each change once, many in one message, whatever happens in between.

pub mod receiver;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use serde_json::{Value, json};
use starkeep::domain::ids::GithubId;
use starkeep::domain::job::JobKind;
use starkeep::domain::mirror::Status;
use starkeep::simulator::{Fault, On, Trigger, sign};
use starkeep::store::drills::{self, Drill, Outcome};
use starkeep::store::{notices, polls, vanished};

use self::receiver::{Letter, Receiver, http, smtp, until};
use super::brake::{many, wipe};
use crate::world::{Backend, FAN, World, on_both};

const SECRET: &str = "the-secret-of-the-webhook";
const NTFY: &str = "tk_the-token-of-ntfy";
const PASSWORD: &str = "the-password-of-the-mailbox";
const REFUSAL: &str = r#"{"message": "Resource not accessible by personal access token"}"#;

/// Every change of these messages, sorted: what, and of whom.
pub fn changes(told: &[Letter]) -> Vec<(String, String)> {
    let of = |it: &Value| (it["kind"].as_str().unwrap().to_owned(), it["name"].as_str().unwrap().to_owned());
    let mut all: Vec<_> = told
        .iter()
        .flat_map(|it| it.json()["changes"].as_array().unwrap().iter().map(of).collect::<Vec<_>>())
        .collect();
    all.sort();
    all
}

fn pairs(kind: &str, names: impl IntoIterator<Item = String>) -> Vec<(String, String)> {
    names.into_iter().map(|it| (kind.to_owned(), it)).collect()
}

impl World {
    /// Tells a webhook, at once.
    pub fn telling(mut self) -> (Self, Receiver) {
        let hook = Receiver::start(http);
        let notify = &mut self.config.notify;
        notify.digest = Duration::from_millis(30);
        notify.webhook_url = Some(format!("http://127.0.0.1:{}/hook", hook.port).parse().unwrap());
        notify.webhook_secret = Some(SecretString::from(SECRET));
        self.config.github.token = Some(self.github().token().to_owned().into());
        (self, hook)
    }

    /// Tells the other two as well: ntfy, and a mail server.
    fn telling_everybody(&mut self) -> (Receiver, Receiver) {
        let (ntfy, mail) = (Receiver::start(http), Receiver::start(smtp));
        let notify = &mut self.config.notify;
        notify.ntfy_url = Some(format!("http://127.0.0.1:{}/topic", ntfy.port).parse().unwrap());
        notify.ntfy_token = Some(SecretString::from(NTFY));
        notify.smtp_url = Some(format!("smtp://127.0.0.1:{}", mail.port).parse().unwrap());
        (notify.smtp_user, notify.smtp_password) = (Some("me".to_owned()), Some(SecretString::from(PASSWORD)));
        notify.mail_from = Some("starkeep@example.org".to_owned());
        notify.mail_to = vec!["me@example.org".to_owned(), "you@example.org".to_owned()];
        (ntfy, mail)
    }

    fn refuses_to_describe(&self) {
        let described = Trigger::next(On::Rest).path("/repositories/").always();
        self.github().fail(described, Fault::answer(403, REFUSAL));
    }

    /// GitHub refuses the next look.
    async fn fails(&self, id: GithubId) {
        self.refuses_to_describe();
        self.sync(id).await;
        self.github().clear_faults();
        self.assert_error(id, "github_forbidden").await;
    }

    /// Waits until nothing is left to be told, now or later.
    pub async fn all_is_told(&self) {
        let wait = async {
            let later = Utc::now() + TimeDelta::days(1);
            while self.store().read(move |c| notices::is_needed(c, later)).await.unwrap() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.expect("all is told");
    }

    fn counted(&self, channel: &str, outcome: &str) -> u64 {
        self.app().metrics.notices.with_label_values(&[channel, outcome]).get()
    }
}

on_both! {
async fn a_failure_and_the_recovery_are_told_once_each_by_every_way(world: World) {
    let (mut world, hook) = world.telling();
    let (ntfy, mail) = world.telling_everybody();
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.all_is_told().await;
    assert!(hook.taken().is_empty(), "that all is well is no news");

    world.fails(id).await;
    hook.wait(1).await;
    world.fails(id).await;
    world.all_is_told().await;
    world.sync(id).await;
    world.assert_healthy(id).await;
    hook.wait(2).await;
    world.sync(id).await;
    world.all_is_told().await;

    let (told, pushed, mailed) = (hook.taken(), ntfy.taken(), mail.taken());
    assert_eq!((told.len(), pushed.len(), mailed.len()), (2, 2, 2));
    for it in &told {
        assert_eq!(it.header("X-Hub-Signature-256"), Some(sign(SECRET, &it.body).as_str()));
        assert_eq!(it.header("X-Starkeep-Delivery"), it.json()["id"].as_str());
        let [gathered, sent] = ["at", "sent_at"].map(|key| it.json()[key].as_str().unwrap().parse::<DateTime<Utc>>());
        assert!(gathered.unwrap() <= sent.unwrap());
    }
    let (failed, well) = (told[0].json(), told[1].json());
    assert_eq!(failed["counts"], json!({ "failed": 1 }));
    let mirror = world.mirror(id).await.id;
    let change = json!({ "kind": "failed", "name": "octo/hello", "mirror": mirror, "reason": "github_forbidden" });
    assert_eq!(failed["changes"], json!([change]));
    assert_eq!((&well["counts"], &well["title"]), (&json!({ "recovered": 1 }), &json!("starkeep: 1 recovered")));

    assert_eq!(pushed[0].header("Title"), Some("starkeep: 1 failed"));
    assert_eq!(pushed[0].header("Authorization"), Some(format!("Bearer {NTFY}").as_str()));
    assert!(pushed[0].text().contains("failed: octo/hello (github_forbidden)"), "{}", pushed[0].text());
    let plain = base64::engine::general_purpose::STANDARD.encode(format!("\0me\0{PASSWORD}"));
    for part in [plain.as_str(), "MAIL FROM:<starkeep@example.org>", "RCPT TO:<me@", "RCPT TO:<you@"] {
        assert!(mailed[0].head.contains(part), "{part}: {}", mailed[0].head);
    }
    assert!(mailed[0].text().contains("Subject: starkeep: 1 failed\r\n"), "{}", mailed[0].text());
    assert!(mailed[0].text().contains("failed: octo/hello (github_forbidden)"), "{}", mailed[0].text());
    for channel in ["webhook", "ntfy", "email"] {
        assert_eq!((world.counted(channel, "sent"), world.counted(channel, "failed")), (2, 0), "{channel}");
    }
    world.end().await;
}
}

on_both! {
async fn a_hundred_at_once_are_one_message_and_a_restart_loses_nothing(world: World) {
    let (mut world, hook) = world.telling();
    world.config.notify.digest = Duration::from_secs(3_600);
    world.refuses_to_describe();
    world.start().await;
    for n in 0..100 {
        let id = world.github().create_repository("octo", &format!("r{n}")).unwrap();
        let delivery = world.github().star(FAN, id).unwrap();
        world.accepted(&delivery).await;
    }
    world.drain().await;
    world.stop().await;
    assert!(hook.taken().is_empty(), "the window is open");
    // The window is long over for the next process, which cannot reach the receiver at first.
    world.config.notify.digest = Duration::from_millis(30);
    (world.config.retry.base, world.config.retry.cap) = (Duration::from_millis(400), Duration::from_millis(400));
    hook.refusals.store(1_000, Ordering::SeqCst);
    world.start().await;
    until(|| hook.refused.load(Ordering::SeqCst) > 0).await;
    world.stop().await;
    hook.refusals.store(0, Ordering::SeqCst);
    world.start().await;
    hook.wait(1).await;
    world.all_is_told().await;
    let told = hook.taken();
    assert_eq!(told.len(), 1);
    let message = told[0].json();
    assert_eq!(message["counts"], json!({ "failed": 100 }));
    assert_eq!(message["changes"].as_array().unwrap().len(), 20);
    assert!(message["text"].as_str().unwrap().ends_with("and 80 more"), "{message}");
    world.end().await;
}
}

on_both! {
async fn a_receiver_that_is_down_is_tried_again_and_nothing_is_told_twice(world: World) {
    let (mut world, hook) = world.telling();
    let id = world.repository("octo", "hello");
    world.star(id).await;
    hook.refusals.store(3, Ordering::SeqCst);
    world.fails(id).await;
    hook.wait(1).await;
    world.all_is_told().await;
    assert_eq!((world.counted("webhook", "failed"), world.counted("webhook", "sent")), (3, 1));
    world.stop().await;
    world.start().await;
    world.fails(id).await;
    world.all_is_told().await;
    assert_eq!(hook.taken().len(), 1, "told is told, also after a restart");
    // One that never comes back is given up, and costs the others nothing.
    hook.refusals.store(usize::MAX, Ordering::SeqCst);
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.all_is_told().await;
    assert_eq!((world.counted("webhook", "failed"), world.counted("webhook", "given_up")), (29, 1));
    world.end().await;
}
}

on_both! {
async fn gone_the_brake_and_a_failed_drill_are_told(world: World) {
    let (mut world, hook) = world.telling();
    let (gone, braked) = (world.repository("octo", "gone"), many(&world));
    world.star(gone).await;
    world.star(braked).await;
    world.github().delete(gone).unwrap();
    world.check(gone).await;
    assert_eq!(world.mirror(gone).await.status, Status::Gone);
    assert_eq!(hook.wait(1).await[0].json()["counts"], json!({ "gone": 1 }));
    wipe(&world, braked);
    world.pushed(braked).await;
    world.assert_error(braked, "mass_delete").await;
    let mirror = world.mirror(braked).await.id;
    let change = json!({ "kind": "mass_brake", "name": "octo/many", "mirror": mirror, "reason": "mass_delete" });
    assert_eq!(hook.wait(2).await[1].json()["changes"], json!([change]));
    for outcome in [Outcome::Ok, Outcome::Failed] {
        let problem = (outcome == Outcome::Failed).then(|| "a ref is missing".to_owned());
        let drill = Drill { outcome, problem, ..Drill::default() };
        world.store().write(move |c| drills::insert(c, mirror, &drill, Utc::now())).await.unwrap();
    }
    let change = json!({ "kind": "drill_failed", "name": "octo/many", "mirror": mirror, "reason": "a ref is missing" });
    assert_eq!(hook.wait(3).await[2].json()["changes"], json!([change]));
    // A look at what is as it was is no news.
    world.check(gone).await;
    world.check(braked).await;
    world.all_is_told().await;
    assert_eq!(hook.taken().len(), 3);
    world.end().await;
}
}

on_both! {
async fn a_process_that_is_killed_while_it_sends_loses_nothing_and_shows_no_secret(world: World) {
    let (mut world, hook) = world.telling();
    let (ntfy, mail) = world.telling_everybody();
    // The shortest that may be configured.
    world.config.notify.digest = Duration::from_secs(1);
    world.attach().await;
    let id = world.repository("octo", "hello");
    let first = world.process();
    world.star_by(&first, id).await;
    for it in [&hook, &ntfy] {
        it.silent.store(true, Ordering::SeqCst);
    }
    world.refuses_to_describe();
    world.queue(id, JobKind::Sync).await;
    hook.kept_waiting().await;
    let mut seen = first.log();
    first.kill();
    hook.silent.store(false, Ordering::SeqCst);
    // A minute later the next one may try; that time has passed.
    let due = |c: &mut starkeep::store::Connection| {
        for it in notices::due(c, Utc::now() + TimeDelta::hours(1))? {
            notices::postpone(c, &it.id, Utc::now())?;
        }
        Ok(())
    };
    world.store().write(due).await.unwrap();
    ntfy.refusals.store(1, Ordering::SeqCst);
    ntfy.silent.store(false, Ordering::SeqCst);
    let second = world.process();
    assert_eq!(changes(&hook.wait(1).await), pairs("failed", ["octo/hello".to_owned()]));
    mail.wait(1).await;
    world.all_is_told().await;
    assert_eq!((hook.taken().len(), ntfy.taken().len(), mail.taken().len()), (1, 1, 1));
    seen.extend(second.log_with("notify_refused"));
    assert!(second.terminate().success());
    let mut bytes = seen.join("\n").into_bytes();
    for file in std::fs::read_dir(world.folder.path()).unwrap() {
        bytes.extend(std::fs::read(file.unwrap().path()).unwrap_or_default());
    }
    for secret in [SECRET, NTFY, PASSWORD] {
        assert!(!bytes.windows(secret.len()).any(|it| it == secret.as_bytes()), "{secret} was seen");
    }
}
}

#[actix::test]
async fn two_processes_tell_each_change_once() {
    let Some(world) = World::new(Backend::Postgres) else { return };
    let (mut world, hook) = world.telling();
    (world.config.notify.digest, world.config.notify.names) = (Duration::from_secs(1), 1_000);
    world.attach().await;
    let processes = [world.process(), world.process()];
    world.refuses_to_describe();
    let mut names = BTreeSet::new();
    for n in 0..40 {
        let id = world.repository("octo", &format!("r{n}"));
        processes[n % 2].take(&world.github().star(FAN, id).unwrap()).await;
        names.insert(format!("octo/r{n}"));
    }
    world.drain().await;
    world.all_is_told().await;
    assert_eq!(changes(&hook.taken()), pairs("failed", names));
    for process in processes {
        assert!(process.terminate().success());
    }
}

on_both! {
async fn what_waits_for_an_admin_is_told_with_what_it_is_about(world: World) {
    let (world, hook) = world.telling();
    let mut world = world.polling();
    let names: Vec<String> = (0..7).map(|n| format!("octo/r{n}")).collect();
    let ids: Vec<GithubId> = (0..7).map(|n| world.repository("octo", &format!("r{n}"))).collect();
    let others: Vec<GithubId> = (0..6).map(|n| world.repository("others", &format!("r{n}"))).collect();
    for id in ids.iter().chain(&others) {
        world.github().star(FAN, *id).unwrap();
    }
    world.first_look().await;
    for id in &ids[..6] {
        world.github().block_451(*id).unwrap();
        world.check(*id).await;
    }
    world.all_is_told().await;
    let mut expected = pairs("gone", names[..4].to_vec());
    expected.extend(pairs("mass_brake", names[4..6].to_vec()));
    assert_eq!(changes(&hook.taken()), expected);
    // Answered, they are gone as well; and one of them is deleted later, which is another reason.
    world.store().write(|c| vanished::answer(c, None, true, Utc::now())).await.unwrap();
    for id in &ids[4..6] {
        world.sync(*id).await;
    }
    world.github().delete(ids[0]).unwrap();
    world.check(ids[0]).await;
    world.all_is_told().await;
    expected.extend(pairs("gone", [names[0].clone(), names[4].clone(), names[5].clone()]));
    expected.sort();
    assert_eq!(changes(&hook.taken()), expected);
    // Stars that are withdrawn in such numbers wait too, until an admin allows it.
    for id in &others {
        world.github().unstar(FAN, *id).unwrap();
    }
    assert!(world.look_at_stars().await.held.is_some());
    world.all_is_told().await;
    let stars = format!("the stars of {}", FAN.to_ascii_lowercase());
    expected.extend(pairs("mass_brake", [stars.clone()]));
    expected.sort();
    assert_eq!(changes(&hook.taken()), expected);
    let now = Utc::now();
    world.store().write(move |c| polls::allow_mass_gone(c, FAN, now)).await.unwrap();
    assert!(world.polled(now).await.held.is_none());
    world.drain().await;
    world.all_is_told().await;
    expected.extend(pairs("recovered", [stars]));
    expected.sort();
    assert_eq!(changes(&hook.taken()), expected);
    world.end().await;
}
}
