//! The hash that chains an entry of the audit log to the one before it: a row that is missing, moved or
//! altered makes every later hash a wrong one.

use sha2::{Digest as _, Sha256};

/// What the first entry is chained to.
pub const START: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// An entry's content, as its row has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link<'a> {
    /// Its place in the chain, from 1 and without a gap.
    pub seq: i64,
    /// Its id in the table.
    pub id: i64,
    /// When, as it is stored.
    pub at: &'a str,
    /// Who.
    pub actor: &'a str,
    /// What.
    pub action: &'a str,
    /// To what.
    pub subject: &'a str,
    /// With what outcome.
    pub outcome: &'a str,
    /// What else there is to know, as it is stored.
    pub detail: &'a str,
    /// The work it belongs to.
    pub correlation: Option<&'a str>,
    /// The client's address.
    pub address: Option<&'a str>,
}

/// The hash of an entry that follows the one of this hash: SHA-256 in hex.
pub fn hash(before: &str, link: &Link<'_>) -> String {
    let Link { seq, id, at, actor, action, subject, outcome, detail, correlation, address } = *link;
    let mut sum = Sha256::new();
    let numbers = [seq.to_string(), id.to_string()];
    let texts = [before, &numbers[0], &numbers[1], at, actor, action, subject, outcome, detail];
    for field in texts.into_iter().map(Some).chain([correlation, address]) {
        // The length before each field, so that nothing can move from one field into the next.
        let length = field.map_or(u64::MAX, |it| it.len() as u64);
        sum.update(length.to_be_bytes());
        sum.update(field.unwrap_or_default());
    }
    hex::encode(sum.finalize())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn link<'a>(texts: &'a [String; 6], seq: i64) -> Link<'a> {
        let [at, actor, action, subject, outcome, detail] = texts;
        Link { seq, id: seq, at, actor, action, subject, outcome, detail, correlation: None, address: None }
    }

    #[test]
    fn the_form_of_the_hash_stays_what_it_is() {
        let link = Link {
            seq: 1,
            id: 7,
            at: "2025-01-01T00:00:00.000000Z",
            actor: "admin",
            action: "mirror.add",
            subject: "octo/hello",
            outcome: "ok",
            detail: "{}",
            correlation: None,
            address: Some("127.0.0.1"),
        };
        assert_eq!(hash(START, &link), "4b3372e01a94a397897abd4ceca4ff5b622c3fdc9e0d84ad48887b1877fff736");
    }

    #[test]
    fn none_is_not_the_empty_text() {
        let texts = std::array::from_fn(|_| String::new());
        let one = link(&texts, 1);
        assert_ne!(hash(START, &one), hash(START, &Link { address: Some(""), ..one }));
        assert_ne!(
            hash(START, &Link { correlation: Some("a"), ..one }),
            hash(START, &Link { address: Some("a"), ..one })
        );
    }

    proptest! {
        #[test]
        fn any_change_changes_it(texts: [String; 6], other: String, field in 0_usize..6, seq: i64) {
            let mut changed = texts.clone();
            changed[field].clone_from(&other);
            let same = changed == texts;
            prop_assert_eq!(hash(START, &link(&texts, seq)) == hash(START, &link(&changed, seq)), same);
            let before = hash(START, &link(&texts, seq));
            prop_assert_ne!(hash(&before, &link(&texts, seq)), before);
        }

        #[test]
        fn nothing_moves_from_one_field_into_the_next(text in "[a-c]{1,8}", cut in 0_usize..8) {
            let cut = cut.min(text.len());
            let mut one: [String; 6] = std::array::from_fn(|_| String::new());
            let mut other = one.clone();
            (one[1], one[2]) = (text[..cut].to_owned(), text[cut..].to_owned());
            other[1].clone_from(&text);
            prop_assert_eq!(hash(START, &link(&one, 1)) == hash(START, &link(&other, 1)), cut == text.len());
        }
    }
}
