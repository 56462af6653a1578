//! What GitHub itself tells of issues, releases and the like, read as anybody reads it: the truth that the
//! catalog's files are held against.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use starkeep::domain::ids::GithubId;
use starkeep::domain::lfs::Pointer;

use crate::world::World;

/// Fields that the catalog does not keep, since they change without meaning.
const LEFT_OUT: [&str; 24] = [
    "stargazers_count",
    "watchers_count",
    "watchers",
    "forks_count",
    "forks",
    "open_issues_count",
    "open_issues",
    "closed_issues",
    "network_count",
    "subscribers_count",
    "size",
    "pushed_at",
    "updated_at",
    "permissions",
    "temp_clone_token",
    "parent",
    "source",
    "avatar_url",
    "gravatar_id",
    "download_count",
    "mergeable",
    "mergeable_state",
    "rebaseable",
    "merge_commit_sha",
];

/// Everything that GitHub tells, by the file that holds it.
pub struct Told {
    /// JSON files.
    pub json: BTreeMap<String, Value>,
    /// Pointers to the files of releases and texts, with their bytes.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Pages for people, with words that must be on them.
    pub pages: BTreeMap<String, Vec<String>>,
}

struct Reader {
    client: reqwest::Client,
    base: String,
}

impl Reader {
    async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(format!("{}{path}", self.base)).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{path}");
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    async fn list(&self, path: &str) -> Vec<Value> {
        let (mut all, mut page) = (Vec::new(), 1);
        loop {
            let some = self.get(&format!("{path}?state=all&per_page=100&page={page}")).await;
            let some = some.as_array().unwrap();
            all.extend(some.iter().cloned());
            if some.len() < 100 {
                return all;
            }
            page += 1;
        }
    }

    async fn bytes(&self, url: &str) -> Vec<u8> {
        let answer = self.client.get(url).header("accept", "application/octet-stream").send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{url}");
        answer.bytes().await.unwrap().to_vec()
    }
}

fn text<'a>(it: &'a Value, field: &str) -> &'a str {
    it[field].as_str().unwrap_or_default()
}

/// The number at the end of an address.
fn last(it: &Value, field: &str) -> i64 {
    text(it, field).rsplit('/').next().unwrap().parse().unwrap()
}

/// Where a thread stands; of GitHub's list of issues, pull requests among them.
fn place(issue: &Value) -> String {
    let (number, is_pull) = (issue["number"].as_i64().unwrap(), issue.get("pull_request").is_some());
    format!("{}/000000-000099/{number:06}", if is_pull { "pulls" } else { "issues" })
}

/// Asks GitHub for everything.
pub async fn read(world: &World, id: GithubId) -> Told {
    let client = reqwest::Client::builder().no_proxy().user_agent("somebody").build().unwrap();
    let reader = Reader { client, base: world.github().api_url().trim_end_matches('/').to_owned() };
    let mut told = Told { json: BTreeMap::new(), files: BTreeMap::new(), pages: BTreeMap::new() };
    let below = format!("/repositories/{id}");
    told.json.insert("repository.json".to_owned(), reader.get(&below).await);
    let mut labels = reader.list(&format!("{below}/labels")).await;
    labels.sort_by_key(|it| text(it, "name").to_owned());
    if !labels.is_empty() {
        told.json.insert("labels.json".to_owned(), json!(labels));
    }
    for it in reader.list(&format!("{below}/milestones")).await {
        told.json.insert(format!("milestones/{:06}.json", it["number"].as_i64().unwrap()), it);
    }
    threads(&reader, &below, &mut told).await;
    releases(&reader, &below, &mut told).await;
    told
}

async fn threads(reader: &Reader, below: &str, told: &mut Told) {
    let mut places = BTreeMap::new();
    for it in reader.list(&format!("{below}/issues")).await {
        let (at, number) = (place(&it), it["number"].as_i64().unwrap());
        let page = format!("{at}/{}.md", if at.starts_with("pulls") { "pull" } else { "issue" });
        told.pages.insert(page, vec![format!("#{number} {}", text(&it, "title")), text(&it, "body").to_owned()]);
        for url in text(&it, "body").split(['(', ')']).filter(|it| it.contains("/user-attachments/")) {
            let name = url.rsplit('/').next().unwrap();
            let key = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(url.as_bytes()));
            told.files.insert(format!("{at}/attachments/{}-{name}", &key[..16]), reader.bytes(url).await);
        }
        places.insert(number, at.clone());
        told.json.insert(format!("{at}/issue.json"), it);
    }
    for it in reader.list(&format!("{below}/pulls")).await {
        let number = it["number"].as_i64().unwrap();
        for review in reader.list(&format!("{below}/pulls/{number}/reviews")).await {
            told.json.insert(format!("{}/reviews/{}.json", places[&number], review["id"]), review);
        }
        told.json.insert(format!("{}/pull.json", places[&number]), it);
    }
    for (list, folder, field) in
        [("issues/comments", "comments", "issue_url"), ("pulls/comments", "review-comments", "pull_request_url")]
    {
        for it in reader.list(&format!("{below}/{list}")).await {
            let at = &places[&last(&it, field)];
            let page = format!("{at}/{}.md", if at.starts_with("pulls") { "pull" } else { "issue" });
            told.pages.get_mut(&page).unwrap().push(text(&it, "body").to_owned());
            told.json.insert(format!("{at}/{folder}/{}.json", it["id"]), it);
        }
    }
}

async fn releases(reader: &Reader, below: &str, told: &mut Told) {
    for it in reader.list(&format!("{below}/releases")).await {
        let at = format!("releases/{}-{}", text(&it, "tag_name").replace('+', "_"), it["id"]);
        for asset in it["assets"].as_array().unwrap() {
            let url = format!("{}{below}/releases/assets/{}", reader.base, asset["id"]);
            told.files.insert(format!("{at}/assets/{}", text(asset, "name")), reader.bytes(&url).await);
        }
        told.pages.insert(format!("{at}/release.md"), vec![text(&it, "body").to_owned()]);
        told.json.insert(format!("{at}/release.json"), it);
    }
}

impl Told {
    /// The catalog's files say exactly this: nothing else, and nothing more.
    pub fn assert_is(&self, files: &BTreeMap<String, String>) {
        for (path, value) in &self.json {
            let text = files.get(path).unwrap_or_else(|| panic!("no {path} of {:#?}", files.keys()));
            assert_same(path, &serde_json::from_str(text).unwrap(), value);
        }
        for (path, content) in &self.files {
            let text = files.get(path).unwrap_or_else(|| panic!("no {path} of {:#?}", files.keys()));
            assert_eq!(Pointer::parse(text.as_bytes()).unwrap(), Pointer::of(content), "{path}");
        }
        for (path, words) in &self.pages {
            let page = files.get(path).unwrap_or_else(|| panic!("no {path} of {:#?}", files.keys()));
            words.iter().for_each(|it| assert!(page.contains(it.as_str()), "{path} lacks {it:?}: {page}"));
        }
        let own = ["README.md", ".gitattributes"];
        let is_told =
            |it: &String| self.json.contains_key(it) || self.files.contains_key(it) || self.pages.contains_key(it);
        let stale: Vec<&String> = files.keys().filter(|it| !own.contains(&it.as_str()) && !is_told(it)).collect();
        assert!(stale.is_empty(), "GitHub does not tell of {stale:#?}");
    }
}

/// Every field of a file is GitHub's, and of GitHub's only counters and the like are missing.
fn assert_same(at: &str, file: &Value, told: &Value) {
    match (file, told) {
        (Value::Object(file), Value::Object(told)) => {
            for (name, value) in file {
                let other = told.get(name).unwrap_or_else(|| panic!("{at}: GitHub has no {name}"));
                assert_same(&format!("{at}: {name}"), value, other);
            }
            let lacks: Vec<&String> =
                told.keys().filter(|it| !file.contains_key(*it) && !LEFT_OUT.contains(&it.as_str())).collect();
            assert!(lacks.is_empty(), "{at} lacks {lacks:?}");
        }
        (Value::Array(file), Value::Array(told)) => {
            assert_eq!(file.len(), told.len(), "{at}");
            file.iter().zip(told).for_each(|(file, told)| assert_same(at, file, told));
        }
        _ => assert_eq!(file, told, "{at}"),
    }
}
