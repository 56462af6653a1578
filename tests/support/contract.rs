//! Holds answers of the HTTP API against the OpenAPI document: the call is in it, it may give this status, and the
//! body is of the shape that the document says.

use std::cell::RefCell;

use boon::{Compiler, Schemas};
use serde_json::Value;

/// The document, ready to be compared with.
pub struct Contract {
    document: Value,
    shapes: RefCell<(Compiler, Schemas)>,
}

/// An answer as it came.
pub struct Told<'a> {
    pub method: &'a str,
    /// Without its query.
    pub path: &'a str,
    pub status: u16,
    pub media_type: Option<&'a str>,
    pub body: &'a str,
}

const HOME: &str = "http://document.test/openapi.json";

impl Contract {
    pub fn new(document: Value) -> Self {
        let mut compiler = Compiler::new();
        compiler.enable_format_assertions();
        compiler.add_resource(HOME, document.clone()).unwrap();
        Self { document, shapes: RefCell::new((compiler, Schemas::new())) }
    }

    /// The path as the document writes it.
    fn pattern(&self, path: &str) -> Option<&str> {
        let path = path.strip_suffix('/').filter(|it| !it.is_empty()).unwrap_or(path);
        let fits = |pattern: &str| {
            let (mut known, mut asked) = (pattern.split('/'), path.split('/'));
            loop {
                match (known.next(), asked.next()) {
                    (None, None) => return true,
                    (Some(known), Some(asked)) if known == asked || known.starts_with('{') => {}
                    _ => return false,
                }
            }
        };
        let known = self.document["paths"].as_object().unwrap().keys();
        // A word in its place comes before whatever may stand there.
        known.map(String::as_str).filter(|it| fits(it)).min_by_key(|it| it.matches('{').count())
    }

    /// # Panics
    /// For an answer that the document does not promise.
    #[track_caller]
    pub fn expect(&self, told: &Told<'_>) {
        if let Err(why) = self.check(told) {
            let Told { method, path, status, body, .. } = told;
            panic!("{method} {path} gave {status}, which the OpenAPI document does not promise: {why}\n{body}");
        }
    }

    /// # Errors
    /// What of the answer the document does not promise.
    pub fn check(&self, told: &Told<'_>) -> Result<(), String> {
        let problem = "/components/schemas/Problem";
        let Some(pattern) = self.pattern(told.path) else {
            return if told.status == 404 {
                self.fits(problem, told.body)
            } else {
                Err("it has no such path".to_owned())
            };
        };
        let method = if told.method == "HEAD" { "get".to_owned() } else { told.method.to_ascii_lowercase() };
        let escaped = pattern.replace('~', "~0").replace('/', "~1");
        let call = format!("/paths/{escaped}/{method}");
        if self.document.pointer(&call).is_none() {
            return if told.status == 405 {
                self.fits(problem, told.body)
            } else {
                Err("it has no such call".to_owned())
            };
        }
        let answer = format!("{call}/responses/{}", told.status);
        let known = self.document.pointer(&answer).ok_or("it has no such status")?;
        let media_type = told.media_type.map(|it| it.split(';').next().unwrap_or_default().trim());
        match (known.get("content"), media_type) {
            _ if told.method == "HEAD" => Ok(()),
            (None, _) if told.body.is_empty() => Ok(()),
            (None, _) => Err("it has no body".to_owned()),
            (Some(content), Some(media_type)) if content.get(media_type).is_some() => {
                if !media_type.ends_with("json") {
                    return Ok(());
                }
                self.fits(&format!("{answer}/content/{}/schema", media_type.replace('/', "~1")), told.body)
            }
            (Some(_), media_type) => Err(format!("it has no body of the kind {media_type:?}")),
        }
    }

    fn fits(&self, pointer: &str, body: &str) -> Result<(), String> {
        let body: Value = serde_json::from_str(body).map_err(|it| it.to_string())?;
        let mut shapes = self.shapes.borrow_mut();
        let (compiler, schemas) = &mut *shapes;
        let fragment: String = url::form_urlencoded::byte_serialize(pointer.as_bytes()).collect();
        let fragment = fragment.replace("%2F", "/");
        let shape = compiler.compile(&format!("{HOME}#{fragment}"), schemas).map_err(|it| format!("{it:#}"))?;
        schemas.validate(&body, shape).map_err(|it| format!("{it:#}"))
    }
}
