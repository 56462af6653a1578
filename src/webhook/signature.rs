//! GitHub's signature of a delivery: HMAC-SHA256 over the raw body, in `X-Hub-Signature-256`.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// The header that carries the signature.
pub const HEADER: &str = "X-Hub-Signature-256";

/// Why a delivery is not believed to come from GitHub. All are answered 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no such header.
    #[error("the header X-Hub-Signature-256 is missing: set the same secret at GitHub and in `github.webhook_secret`")]
    Missing,
    /// Not `sha256=` and 64 hex digits.
    #[error("the header X-Hub-Signature-256 is not `sha256=` and 64 hex digits")]
    Malformed,
    /// Another secret, or another body.
    #[error(
        "the signature does not match: the secret at GitHub and `github.webhook_secret` differ, or the body was changed on its way"
    )]
    Mismatch,
}

impl SignatureError {
    /// A short stable word for the API.
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "signature_missing",
            Self::Malformed => "signature_malformed",
            Self::Mismatch => "signature_mismatch",
        }
    }
}

/// Whether `header` signs exactly these bytes with one of these secrets. The comparison takes the same time
/// wherever the difference is, and all secrets are tried whichever of them it is.
///
/// # Errors
/// [`SignatureError`]; an empty header counts as missing.
pub fn verify(secrets: &[SecretString], body: &[u8], header: &str) -> Result<(), SignatureError> {
    if header.is_empty() {
        return Err(SignatureError::Missing);
    }
    let digits = header.strip_prefix("sha256=").ok_or(SignatureError::Malformed)?;
    let mut claimed = [0; 32];
    hex::decode_to_slice(digits, &mut claimed).map_err(|_| SignatureError::Malformed)?;
    let believed = secrets.iter().filter(|it| is_signed(it, body, &claimed)).count();
    if believed > 0 { Ok(()) } else { Err(SignatureError::Mismatch) }
}

fn is_signed(secret: &SecretString, body: &[u8], claimed: &[u8; 32]) -> bool {
    // HMAC takes keys of any length, so this cannot fail; if it did, nothing would be let in.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else { return false };
    mac.update(body);
    mac.verify_slice(claimed).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sign(secret: &str, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(body);
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    }

    #[test]
    fn githubs_published_example_is_believed() {
        // https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
        let secret = [SecretString::from("It's a Secret to Everybody")];
        let header = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert_eq!(verify(&secret, b"Hello, World!", header), Ok(()));
        assert_eq!(verify(&secret, b"Hello, World?", header), Err(SignatureError::Mismatch));
        assert_eq!(verify(&[SecretString::from("other")], b"Hello, World!", header), Err(SignatureError::Mismatch));
    }

    #[test]
    fn while_the_secret_is_changed_both_are_believed_and_no_third_one() {
        let both = ["new", "old"].map(SecretString::from);
        for secret in ["new", "old"] {
            assert_eq!(verify(&both, b"{}", &sign(secret, b"{}")), Ok(()));
        }
        assert_eq!(verify(&both, b"{}", &sign("older", b"{}")), Err(SignatureError::Mismatch));
        assert_eq!(verify(&[], b"{}", &sign("new", b"{}")), Err(SignatureError::Mismatch));
    }

    #[test]
    fn another_form_is_told_from_another_secret() {
        let secret = [SecretString::from("s")];
        let good = sign("s", b"x");
        for malformed in [
            "sha256=",
            "sha1=00",
            "x",
            &good[..70],
            &format!("{good}0"),
            &format!(" {good}"),
            &good.replace("sha256=", "SHA256="),
            &good.replace("sha256=", ""),
            "sha256=zz",
            &format!("sha256={}", "é".repeat(32)),
        ] {
            assert_eq!(verify(&secret, b"x", malformed), Err(SignatureError::Malformed), "{malformed}");
        }
        assert_eq!(verify(&secret, b"x", ""), Err(SignatureError::Missing));
    }

    proptest! {
        #[test]
        fn what_is_signed_is_believed_and_nothing_else(secret in "\\PC+", body: Vec<u8>, flip: usize) {
            let header = sign(&secret, &body);
            let secret = [SecretString::from(secret)];
            prop_assert_eq!(verify(&secret, &body, &header), Ok(()));
            let mut other = body;
            if other.is_empty() { other.push(0) } else { let at = flip % other.len(); other[at] ^= 1 }
            prop_assert_eq!(verify(&secret, &other, &header), Err(SignatureError::Mismatch));
        }

        #[test]
        fn any_header_is_taken(header in "(sha256=)?\\PC*", body: Vec<u8>) {
            prop_assert!(verify(&[SecretString::from("s")], &body, &header).is_err());
        }
    }
}
