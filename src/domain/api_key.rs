//! Keys of the admin API: their form, what they allow, and the hash that is kept of them.
//!
//! A key is `sk_`, eight characters by which it is found, `_`, and a secret of 43 characters in base62, which are
//! 256 bits. Random bytes are an argument, as everything is here that changes from call to call.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret as _, SecretString};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const MARK: &str = "sk_";
const HANDLE: usize = 8;
const SECRET: usize = 43;

/// How long both keys are valid after a rotation, if nothing else is said.
pub const OVERLAP: Duration = Duration::from_secs(86_400);
/// How long they are at most.
pub const LONGEST_OVERLAP: Duration = Duration::from_secs(30 * 86_400);

/// Random bytes that a new key is made of.
pub const RANDOM: usize = 128;
/// Random bytes of a salt.
pub const SALT: usize = 16;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Read mirrors, jobs and stars.
    MirrorsRead,
    /// Add, change, sync and forget mirrors; retry and cancel jobs.
    MirrorsWrite,
    /// Queue batches and follow them.
    Batches,
    /// Read deliveries and replay them.
    Deliveries,
    /// Read the audit log.
    AuditRead,
    /// Make, list, rotate and revoke keys.
    Keys,
    /// Tell of commits.
    SyncCommits,
    /// Read the repositories that a client may push to.
    ReadRepos,
    /// Everything.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 9] = [
        Self::MirrorsRead,
        Self::MirrorsWrite,
        Self::Batches,
        Self::Deliveries,
        Self::AuditRead,
        Self::Keys,
        Self::SyncCommits,
        Self::ReadRepos,
        Self::Admin,
    ];

    /// The word in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MirrorsRead => "mirrors:read",
            Self::MirrorsWrite => "mirrors:write",
            Self::Batches => "batches",
            Self::Deliveries => "deliveries",
            Self::AuditRead => "audit:read",
            Self::Keys => "keys",
            Self::SyncCommits => "sync:commits",
            Self::ReadRepos => "read:repos",
            Self::Admin => "admin",
        }
    }
}

/// Why something is no scope, or no set of scopes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoScope {
    /// There is no such scope.
    #[error(
        "`{0}` is no scope; there are mirrors:read, mirrors:write, batches, deliveries, audit:read, keys, sync:commits, read:repos and admin"
    )]
    Unknown(String),
    /// A key without a scope is good for nothing.
    #[error("a key needs at least one scope")]
    Empty,
}

impl PartialSchema for Scope {
    fn schema() -> RefOr<Schema> {
        let words = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(Self::ALL.map(Self::as_str)));
        words.description(Some("What a key may do.")).into()
    }
}

impl ToSchema for Scope {}

impl FromStr for Scope {
    type Err = NoScope;

    fn from_str(word: &str) -> Result<Self, NoScope> {
        let known = Self::ALL.into_iter().find(|it| it.as_str() == word);
        known.ok_or_else(|| NoScope::Unknown(word.chars().take(40).flat_map(char::escape_debug).collect()))
    }
}

/// What a caller may do: one scope or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Everything.
    pub fn all() -> Self {
        Self(BTreeSet::from([Scope::Admin]))
    }

    /// These.
    ///
    /// # Errors
    /// [`NoScope`] for a word that is none, and for none at all.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self, NoScope> {
        let scopes: BTreeSet<Scope> = words.iter().map(|it| it.as_ref().parse()).collect::<Result<_, _>>()?;
        if scopes.is_empty() { Err(NoScope::Empty) } else { Ok(Self(scopes)) }
    }

    /// Whether this may be done.
    pub fn allow(&self, scope: Scope) -> bool {
        self.0.contains(&Scope::Admin) || self.0.contains(&scope)
    }

    /// Whether all that those allow is allowed by these.
    pub fn cover(&self, others: &Self) -> bool {
        others.0.iter().all(|it| self.allow(*it))
    }

    /// The words, in order.
    pub fn words(&self) -> Vec<&'static str> {
        self.0.iter().map(|it| it.as_str()).collect()
    }
}

/// The words with a space between them, as the database has them.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

impl FromStr for Scopes {
    type Err = NoScope;

    fn from_str(text: &str) -> Result<Self, NoScope> {
        Self::parse(&text.split_ascii_whitespace().collect::<Vec<_>>())
    }
}

/// A whole key. `Debug` shows its prefix only.
#[derive(Clone)]
pub struct FullKey {
    prefix: String,
    whole: SecretString,
}

impl fmt::Debug for FullKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prefix, whole: _ } = self;
        f.debug_tuple("FullKey").field(prefix).finish()
    }
}

impl FullKey {
    /// A new key out of random bytes; `None` in the rare case that they do not suffice: draw again.
    pub fn of_random(bytes: &[u8; RANDOM]) -> Option<Self> {
        // Bytes beyond the alphabet are left out, so that each character is as likely as any other.
        let mut characters = bytes.iter().filter_map(|it| ALPHABET.get(usize::from(it & 63))).map(|it| char::from(*it));
        let handle: String = characters.by_ref().take(HANDLE).collect();
        let secret: String = characters.take(SECRET).collect();
        Self::parse(&format!("{MARK}{handle}_{secret}"))
    }

    /// A key that somebody presents; `None` if it has not the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let (handle, secret) = text.strip_prefix(MARK)?.split_once('_')?;
        let well = |it: &str, length| it.len() == length && it.bytes().all(|b| b.is_ascii_alphanumeric());
        let prefix = format!("{MARK}{handle}");
        (well(handle, HANDLE) && well(secret, SECRET)).then(|| Self { prefix, whole: SecretString::from(text) })
    }

    /// `sk_` and eight characters: no secret.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        self.whole.expose_secret()
    }

    /// What is kept of it. Takes some 20 ms of a processor and 19 MiB: not for the threads that answer requests.
    ///
    /// # Errors
    /// In words, if there is no memory.
    pub fn hash(&self, salt: [u8; SALT]) -> Result<String, String> {
        let sum = COST.sum(self.expose(), &salt)?;
        let Cost { memory, passes, lanes } = COST;
        Ok(format!("argon2id$m={memory},t={passes},p={lanes}${}${}", hex::encode(salt), hex::encode(sum)))
    }

    /// Whether this is the key that `stored` was made of. Without one it takes as long, and says no: whoever
    /// measures does not learn which prefixes there are.
    pub fn is_of(&self, stored: Option<&str>) -> bool {
        let known = stored.and_then(Stored::parse);
        let (cost, salt) = known.as_ref().map_or((COST, [0; SALT]), |it| (it.cost, it.salt));
        let Ok(sum) = cost.sum(self.expose(), &salt) else { return false };
        // Every byte is looked at, wherever the first difference is.
        known.is_some_and(|it| it.sum.iter().zip(sum).fold(0, |all, (a, b)| all | (a ^ b)) == 0)
    }
}

/// What one hash costs: KiB of memory, passes over it, lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    memory: u32,
    passes: u32,
    lanes: u32,
}

/// What OWASP recommends as the least for Argon2id. The secret has 256 bits, so this is more than is needed; it
/// stands there for keys that leak in part.
const COST: Cost = Cost { memory: 19 * 1024, passes: 2, lanes: 1 };

impl Cost {
    fn sum(self, text: &str, salt: &[u8]) -> Result<[u8; 32], String> {
        let params = Params::new(self.memory, self.passes, self.lanes, Some(32)).map_err(|it| it.to_string())?;
        let mut sum = [0; 32];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password_into(text.as_bytes(), salt, &mut sum).map_err(|it| it.to_string())?;
        Ok(sum)
    }
}

/// A kept hash, taken apart. Its cost stands in it, so that [`COST`] may be raised while old keys live on.
struct Stored {
    cost: Cost,
    salt: [u8; SALT],
    sum: [u8; 32],
}

impl Stored {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('$');
        let (kind, cost, salt, sum) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let mut costs = cost.split(',');
        let mut cost = |name: &str| costs.next()?.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
        let cost = Cost { memory: cost("m")?, passes: cost("t")?, lanes: cost("p")? };
        let (salt, sum) = (hex::decode(salt).ok()?.try_into().ok()?, hex::decode(sum).ok()?.try_into().ok()?);
        (kind == "argon2id" && parts.next().is_none()).then_some(Self { cost, salt, sum })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(byte: u8) -> FullKey {
        FullKey::of_random(&std::array::from_fn(|it| (it as u8).wrapping_mul(7).wrapping_add(byte))).unwrap()
    }

    #[test]
    fn a_key_has_the_form_that_is_told() {
        let key = key(3);
        assert_eq!((key.prefix().len(), key.expose().len()), (11, 55));
        assert!(key.expose().starts_with(&format!("{}_", key.prefix())));
        assert!(!format!("{key:?}").contains(&key.expose()[12..]));
        assert!(FullKey::of_random(&[63; RANDOM]).is_none(), "what is beyond the alphabet is left out");
    }

    #[test]
    fn what_has_not_the_form_is_no_key() {
        let whole = key(3).expose().to_owned();
        assert!(FullKey::parse(&whole).is_some());
        for wrong in [&whole[1..], &whole[..54], &format!("{whole}0"), &whole.replace("sk_", "sk-"), "sk_", "sk__", ""]
        {
            assert!(FullKey::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_hash_is_of_one_key_and_one_salt() {
        let (one, other) = (key(1), key(2));
        let stored = one.hash([5; SALT]).unwrap();
        assert!(stored.starts_with("argon2id$m=19456,t=2,p=1$") && !stored.contains(one.expose()), "{stored}");
        assert!(one.is_of(Some(&stored)));
        assert!(!other.is_of(Some(&stored)));
        assert!(!one.is_of(None));
        assert_ne!(stored, one.hash([6; SALT]).unwrap());
        for broken in ["", "argon2id", &stored.replace("argon2id", "argon2i"), &stored[..stored.len() - 2]] {
            assert!(!one.is_of(Some(broken)), "{broken}");
        }
    }

    #[test]
    fn admin_is_everything_and_nothing_else_is_more_than_itself() {
        let of = |words: &[&str]| Scopes::parse(words).unwrap();
        assert!(Scope::ALL.into_iter().all(|it| Scopes::all().allow(it)));
        let reader = of(&["mirrors:read", "keys"]);
        assert!(reader.allow(Scope::MirrorsRead) && !reader.allow(Scope::MirrorsWrite) && !reader.allow(Scope::Admin));
        assert!(reader.cover(&of(&["keys"])) && !reader.cover(&of(&["keys", "batches"])));
        assert!(!of(&["mirrors:read", "mirrors:write"]).cover(&Scopes::all()) && Scopes::all().cover(&reader));
        assert_eq!(Scopes::parse::<&str>(&[]), Err(NoScope::Empty));
        assert!(matches!(Scopes::parse(&["everything"]), Err(NoScope::Unknown(_))));
    }

    proptest! {
        #[test]
        fn any_text_is_taken_and_only_whole_keys_are_keys(text in "(sk_)?[0-9A-Za-z_]{0,60}|\\PC*") {
            if let Some(key) = FullKey::parse(&text) {
                prop_assert_eq!(key.expose(), text.as_str());
                prop_assert_eq!(text.len(), 55);
            }
        }

        #[test]
        fn random_bytes_make_keys_that_are_read_back(bytes in proptest::collection::vec(any::<u8>(), RANDOM)) {
            let bytes: [u8; RANDOM] = bytes.try_into().unwrap();
            if let Some(key) = FullKey::of_random(&bytes) {
                let read = FullKey::parse(key.expose()).unwrap();
                prop_assert_eq!(read.prefix(), key.prefix());
            }
        }

        #[test]
        fn scopes_are_read_back(chosen in proptest::sample::subsequence(Scope::ALL.to_vec(), 1..9)) {
            let words: Vec<&str> = chosen.iter().map(|it| it.as_str()).collect();
            let scopes = Scopes::parse(&words).unwrap();
            prop_assert_eq!(scopes.to_string().parse::<Scopes>().unwrap(), scopes);
        }
    }
}
