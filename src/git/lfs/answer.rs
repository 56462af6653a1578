//! The batch call as JSON: what is asked, and what is answered for each object.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use url::Url;

use super::error::ObjectError;
use super::link::{Action, Link};
use crate::domain::lfs::Pointer;
use crate::git::clean::Redactor;
use crate::git::error::{Side, WireError};

/// What the objects are wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// To read them.
    Download,
    /// To write those that are missing.
    Upload,
}

/// What the server says of one object.
#[derive(Debug)]
pub enum Answer {
    /// Where it is to be read or written.
    Link(Link),
    /// An upload is not needed.
    Present,
    /// It is not to be had, or not wanted.
    Refused(ObjectError),
}

#[derive(Serialize)]
pub(super) struct Question<'a> {
    pub(super) operation: Operation,
    pub(super) transfers: [&'static str; 1],
    pub(super) objects: &'a [Pointer],
}

#[derive(Deserialize)]
struct Batch {
    #[serde(default)]
    transfer: Option<String>,
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    oid: String,
    #[serde(default)]
    actions: Option<Actions>,
    #[serde(default)]
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Actions {
    #[serde(default)]
    download: Option<Action>,
    #[serde(default)]
    upload: Option<Action>,
    #[serde(default)]
    verify: Option<Action>,
}

#[derive(Deserialize)]
struct Refusal {
    code: u16,
    #[serde(default)]
    message: String,
}

/// Whose answer it is.
pub(super) struct Asked<'a> {
    pub(super) side: Side,
    pub(super) base: &'a Url,
    pub(super) redactor: &'a Redactor,
    pub(super) operation: Operation,
}

impl Asked<'_> {
    /// One answer for each object that was asked for, in that order; one that the server passed over
    /// counts as missing at upstream and as refused by the target.
    pub(super) fn read(&self, body: &[u8], asked: &[Pointer]) -> Result<Vec<(Pointer, Answer)>, ObjectError> {
        let wrong = |detail: String| WireError::Protocol { side: self.side, detail };
        let batch: Batch = serde_json::from_slice(body)
            .map_err(|error| wrong(format!("its LFS answer cannot be read: line {}", error.line())))?;
        if batch.transfer.as_deref().is_some_and(|it| it != "basic") {
            return Err(wrong("it wants another way of LFS transfer than `basic`".to_owned()).into());
        }
        let mut found: HashMap<String, Object> = batch.objects.into_iter().map(|it| (it.oid.clone(), it)).collect();
        Ok(asked.iter().map(|it| (*it, self.one(it, found.remove(&it.oid.to_string())))).collect())
    }

    fn one(&self, pointer: &Pointer, object: Option<Object>) -> Answer {
        let Some(Object { actions, error, .. }) = object else {
            return Answer::Refused(ObjectError::of_status(self.side, 404, None, "it did not answer", pointer.size));
        };
        if let Some(Refusal { code, message }) = error {
            let words = self.redactor.line(message.as_bytes(), 300);
            return Answer::Refused(ObjectError::of_status(self.side, code, None, &words, pointer.size));
        }
        let (action, verify) = actions.map_or((None, None), |it| match self.operation {
            Operation::Download => (it.download, None),
            Operation::Upload => (it.upload, it.verify),
        });
        match (action, self.operation) {
            (Some(action), _) => match self.link(&action, verify.as_ref()) {
                Ok(link) => Answer::Link(link),
                Err(error) => Answer::Refused(error.into()),
            },
            (None, Operation::Upload) => Answer::Present,
            (None, Operation::Download) => {
                Answer::Refused(ObjectError::of_status(self.side, 404, None, "it named no address", pointer.size))
            }
        }
    }
}

impl Asked<'_> {
    fn link(&self, action: &Action, verify: Option<&Action>) -> Result<Link, WireError> {
        let verify = verify.map(|it| Link::of(it, self.side, self.base)).transpose()?;
        Ok(Link::of(action, self.side, self.base)?.verified_at(verify))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(side: Side, operation: Operation, body: &str, asked: &[Pointer]) -> Result<Vec<Answer>, ObjectError> {
        let base: Url = "https://onedev.example.org/a/b.git".parse().unwrap();
        let redactor = Redactor::default();
        let asked_of = Asked { side, base: &base, redactor: &redactor, operation };
        Ok(asked_of.read(body.as_bytes(), asked)?.into_iter().map(|(_, it)| it).collect())
    }

    fn code(answer: &Answer) -> &'static str {
        match answer {
            Answer::Link(_) => "link",
            Answer::Present => "present",
            Answer::Refused(error) => error.code(),
        }
    }

    #[test]
    fn each_object_gets_its_answer_whatever_the_order() {
        let asked = [b"a", b"b", b"c", b"d"].map(|it| Pointer::of(it));
        let body = format!(
            r#"{{"transfer":"basic","objects":[
                {{"oid":"{}","size":1,"error":{{"code":410,"message":"gone"}}}},
                {{"oid":"{}","size":1,"actions":{{"download":{{"href":"https://x.example/o?sig=1","header":{{"A":"b"}},"expires_in":60}}}}}},
                {{"oid":"{}","size":1}}]}}"#,
            asked[1].oid, asked[0].oid, asked[2].oid,
        );
        let answers = read(Side::Upstream, Operation::Download, &body, &asked).unwrap();
        assert_eq!(answers.iter().map(code).collect::<Vec<_>>(), ["link", "lfs_missing", "lfs_missing", "lfs_missing"]);
        let Answer::Link(link) = &answers[0] else { panic!() };
        assert!(!format!("{link:?}").contains("sig"), "{link:?}");
        let answers = read(Side::Target, Operation::Upload, &body, &asked[2..3]).unwrap();
        assert_eq!(answers.iter().map(code).collect::<Vec<_>>(), ["present"]);
    }

    #[test]
    fn the_targets_addresses_are_moved_to_where_we_know_it() {
        let asked = [Pointer::of(b"a")];
        let body = format!(
            r#"{{"objects":[{{"oid":"{}","actions":{{"upload":{{"href":"http://10.0.0.1:6610/a/b.git/lfs/objects/x?lfs-objects=true"}}}}}}]}}"#,
            asked[0].oid
        );
        let answers = read(Side::Target, Operation::Upload, &body, &asked).unwrap();
        let Answer::Link(link) = &answers[0] else { panic!("{answers:?}") };
        assert_eq!(link.href.as_str(), "https://onedev.example.org/a/b.git/lfs/objects/x?lfs-objects=true");
        let download = body.replace("upload", "download");
        let answers = read(Side::Upstream, Operation::Download, &download, &asked).unwrap();
        assert_eq!(code(&answers[0]), "upstream_protocol", "no plain http from an https server");
    }

    #[test]
    fn another_way_of_transfer_and_garbage_are_refused() {
        for body in [r#"{"transfer":"tus","objects":[]}"#, "", "[]", r#"{"objects":5}"#] {
            assert!(read(Side::Upstream, Operation::Download, body, &[]).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_survived(body in ".{0,300}") {
            let _ = read(Side::Upstream, Operation::Download, &body, &[Pointer::of(b"a")]);
        }
    }
}
