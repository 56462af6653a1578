//! What people are told: changes of many mirrors in one message.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Letters of a name or a reason that a message shows.
const LONGEST: usize = 300;

/// What happened to something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Too much would go at once: it waits for an admin.
    MassBrake,
    /// A mirror that was well is in error.
    Failed,
    /// Upstream is not there any more.
    Gone,
    /// A mirror could not be restored on trial.
    DrillFailed,
    /// What was told of is well again.
    Recovered,
}

impl Kind {
    /// The word in messages.
    fn words(self) -> &'static str {
        match self {
            Self::MassBrake => "waiting for an admin",
            Self::Failed => "failed",
            Self::Gone => "gone upstream",
            Self::DrillFailed => "not restorable on trial",
            Self::Recovered => "recovered",
        }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What happened.
    pub kind: Kind,
    /// To what: a mirror's name, or the stars of a user.
    pub name: String,
    /// The stable code of the reason, or the reason itself, where there is one.
    pub reason: Option<String>,
}

/// All changes of a while: how many of each kind, and the first of them by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// When they were gathered.
    pub at: DateTime<Utc>,
    /// How many of each kind.
    pub counts: BTreeMap<Kind, u64>,
    /// The first of them, the gravest first.
    pub changes: Vec<Change>,
}

impl Digest {
    /// Of all changes, naming at most `most`; `None` if there are none.
    pub fn of(mut all: Vec<Change>, most: usize, at: DateTime<Utc>) -> Option<Self> {
        if all.is_empty() {
            return None;
        }
        let mut counts = BTreeMap::new();
        for it in &all {
            *counts.entry(it.kind).or_default() += 1;
        }
        // Stable: within a kind they stay in the order in which they came.
        all.sort_by_key(|it| it.kind);
        all.truncate(most);
        for it in &mut all {
            it.name = line(&it.name);
            it.reason = it.reason.as_deref().map(line);
        }
        Some(Self { at, counts, changes: all })
    }

    /// One line with the counts.
    pub fn title(&self) -> String {
        let counts: Vec<String> = self.counts.iter().map(|(kind, count)| format!("{count} {}", kind.words())).collect();
        format!("starkeep: {}", counts.join(", "))
    }

    /// The counts and the names, a line each.
    pub fn text(&self) -> String {
        let mut text = self.title();
        text.push('\n');
        for it in &self.changes {
            let reason = it.reason.as_deref().map(|it| format!(" ({it})")).unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{}: {}{reason}", it.kind.words(), it.name);
        }
        let all: u64 = self.counts.values().sum();
        let rest = all.saturating_sub(self.changes.len() as u64);
        if rest > 0 {
            let _ = write!(text, "\nand {rest} more");
        }
        text
    }

    /// Whether it tells of anything but good news.
    pub fn is_bad(&self) -> bool {
        self.counts.keys().any(|it| *it != Kind::Recovered)
    }
}

fn line(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { ' ' } else { it }).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: Kind, name: &str) -> Change {
        Change { kind, name: name.to_owned(), reason: (kind != Kind::Recovered).then(|| "code".to_owned()) }
    }

    #[test]
    fn many_changes_are_one_message_with_counts_and_the_gravest_names() {
        let at = DateTime::UNIX_EPOCH;
        assert_eq!(Digest::of(Vec::new(), 3, at), None);
        let all = vec![
            change(Kind::Recovered, "octo/well"),
            change(Kind::Failed, "octo/one"),
            change(Kind::Failed, "octo/two\nBcc: all"),
            change(Kind::Gone, "octo/gone"),
        ];
        let digest = Digest::of(all, 3, at).unwrap();
        assert_eq!(digest.title(), "starkeep: 2 failed, 1 gone upstream, 1 recovered");
        assert_eq!(
            digest.text(),
            "starkeep: 2 failed, 1 gone upstream, 1 recovered\n\nfailed: octo/one (code)\n\
             failed: octo/two Bcc: all (code)\ngone upstream: octo/gone (code)\nand 1 more"
        );
        assert!(digest.is_bad());
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
        assert!(json.contains(r#""counts":{"failed":2"#), "{json}");
    }
}
