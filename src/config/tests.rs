//! Stories of loading: which layer wins, what is told when much is wrong, what is never told.

use std::path::Path;

use proptest::prelude::*;

use super::*;

/// A folder with files and an environment to load from.
struct Story {
    folder: tempfile::TempDir,
    options: LoadOptions,
}

impl Story {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("config")).unwrap();
        let options = LoadOptions { directory: folder.path().to_owned(), ..LoadOptions::default() };
        Self { folder, options }
    }

    fn file(self, path: &str, text: &str) -> Self {
        std::fs::write(self.folder.path().join(path), text).unwrap();
        self
    }

    fn named(mut self, path: &str) -> Self {
        self.options.file = Some(path.into());
        self
    }

    fn set(mut self, name: &str, value: &str) -> Self {
        self.options.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    fn load(&self) -> Loaded {
        Config::load(&self.options).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn problems(&self) -> Vec<String> {
        Config::load(&self.options).unwrap_err().0.iter().map(ToString::to_string).collect()
    }

    fn problem(&self) -> String {
        let [only] = self.problems().try_into().unwrap();
        only
    }
}

fn shown<'a>(loaded: &'a Loaded, key: &str) -> &'a Shown {
    loaded.show().iter().find(|it| it.key == key).unwrap()
}

#[test]
fn the_embedded_file_says_what_the_code_says() {
    let loaded = Story::new().load();
    assert_eq!(format!("{:#?}", loaded.config), format!("{:#?}", Config::default()));
    let url = |it: &Config| secrecy::ExposeSecret::expose_secret(&it.database.url).to_owned();
    assert_eq!(url(&loaded.config), url(&Config::default()));
}

#[test]
fn the_embedded_file_has_every_key_each_with_a_comment() {
    let mut section = String::new();
    let mut written = Vec::new();
    let mut before = "";
    for line in layers::DEFAULTS.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((key, _)) = line.trim_start_matches('#').split_once(" = ")
            && !line.starts_with("# ")
        {
            assert!(before.starts_with("# "), "{section}.{key} has no comment");
            written.push(format!("{section}.{key}").trim_start_matches('.').to_owned());
        }
        before = line;
    }
    written.sort();
    let known: Vec<String> = Story::new().load().show().iter().map(|it| it.key.clone()).collect();
    assert_eq!(written, known);
}

#[test]
fn each_layer_wins_over_the_one_below() {
    let story = Story::new()
        .file("config/default.toml", "[sync]\nworkers = 5\ninterval = '2h'\nlease = '20s'\ntimeout = '5m'")
        .file("config/staging.toml", "[sync]\nworkers = 6\ninterval = '3h'\nlease = '30s'")
        .file("mine.toml", "[sync]\nworkers = 7\ninterval = '4h'")
        .named("mine.toml")
        .set("STARKEEP_ENV", "staging")
        .set("STARKEEP__SYNC__WORKERS", "8");
    let loaded = story.load();
    assert_eq!(loaded.config.sync.workers, 8);
    assert_eq!(duration::text(loaded.config.sync.interval), "4h");
    assert_eq!(duration::text(loaded.config.sync.lease), "30s");
    assert_eq!(duration::text(loaded.config.sync.timeout), "5m");
    let origins = ["workers", "interval", "lease", "timeout", "stall_timeout", "max_bytes"]
        .map(|key| shown(&loaded, &format!("sync.{key}")).origin.as_ref().map(ToString::to_string));
    assert_eq!(
        origins.map(|it| it.unwrap_or_else(|| "nowhere".to_owned())),
        [
            "environment variable STARKEEP__SYNC__WORKERS",
            "file mine.toml",
            "file config/staging.toml",
            "file config/default.toml",
            "built-in default",
            "nowhere",
        ]
    );
    assert_eq!(shown(&loaded, "sync.workers").value, 8);
}

#[test]
fn lists_of_the_environment_have_commas_and_an_empty_text_takes_a_value_back() {
    let loaded = Story::new()
        .file("config/default.toml", "[github]\ntoken = 'ghp_1'\n[sync]\nmax_bytes = '1GiB'")
        .set("STARKEEP__STARS__USERS", "octocat, hubot,")
        .set("STARKEEP__SERVER__TRUSTED_PROXIES", "10.0.0.1,fd00::1")
        .set("STARKEEP__SYNC__REFS", "refs/heads/*")
        .set("STARKEEP__GITHUB__TOKEN", "")
        .set("STARKEEP__SYNC__MAX_BYTES", "")
        .set("STARKEEP__SYNC__STREAM_ABOVE", "off")
        .load();
    assert_eq!(loaded.config.stars.users, ["octocat", "hubot"]);
    assert_eq!(loaded.config.server.trusted_proxies.len(), 2);
    assert_eq!(loaded.config.sync.refs.len(), 1);
    assert!(loaded.config.github.token.is_none());
    assert_eq!(loaded.config.sync.max_bytes, None);
    assert_eq!(loaded.config.sync.stream_above, None);
    assert_eq!(shown(&loaded, "stars.users").value, serde_json::json!(["octocat", "hubot"]));
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_key_origin_and_accepted_form() {
    let story = Story::new()
        .file("config/default.toml", "[sync]\nlease = '10ms'\nworkers = 0\nworker = 3\n[onedev]\nroot = '../x'")
        .file("broken.toml", "[github]\ntoken = \"ghp_secret\n")
        .named("broken.toml")
        .set("STARKEEP__SERVER__BIND", "everywhere")
        .set("STARKEEP__SERVER__PUBLIC_URL", "http://starkeep.example.org")
        .set("STARKEEP__STARS__UNSTAR", "forget")
        .set("STARKEEP__SYNC__INTERVAL", "60")
        .set("STARKEEP__SYNC__REFS", "refs/heads/*,refs/pulls/*,heads")
        .set("STARKEEP__GITHUB__APP_ID", "12")
        .set("STARKEEP__DATABASE__URL", "mysql://me:hunter2@db/x")
        .set("STARKEEP__LOG__LEVEL", "loud");
    let all = story.problems().join("\n");
    let expected = [
        "file broken.toml: is not valid TOML at line 2, column 20; write valid TOML",
        "server.bind (environment variable STARKEEP__SERVER__BIND): `everywhere` is not accepted; write an IP address",
        "stars.unstar (environment variable STARKEEP__STARS__UNSTAR): `forget` is not accepted; \
         write `archive` or `delete` or `ignore`",
        "sync.interval (environment variable STARKEEP__SYNC__INTERVAL): `60` is not accepted; write a whole number and",
        "sync.refs (environment variable STARKEEP__SYNC__REFS): `refs/pulls/*` is not accepted",
        "sync.refs (environment variable STARKEEP__SYNC__REFS): `heads` is not accepted",
        "sync.worker (file config/default.toml): there is no such key; did you mean `sync.workers`?",
        "server.public_url (environment variable STARKEEP__SERVER__PUBLIC_URL): `http://starkeep.example.org/` would",
        "database.url (environment variable STARKEEP__DATABASE__URL): is of no known kind; write `sqlite://PATH`",
        "github.app_private_key: is missing while the App's id is set",
        "onedev.root (file config/default.toml): `../x` is no project path",
        "sync.workers (file config/default.toml): `0` is out of bounds; write a whole number from 1 to",
        "sync.lease (file config/default.toml): `10ms` is out of bounds; write a duration from `1s`",
        "log.level (environment variable STARKEEP__LOG__LEVEL): `loud` is no level",
    ];
    for line in expected {
        assert!(all.contains(line), "{line}\nis not in\n{all}");
    }
    assert_eq!(all.lines().count(), expected.len(), "{all}");
    assert!(!all.contains("ghp_secret") && !all.contains("hunter2"), "{all}");
}

#[test]
fn an_unknown_key_is_told_without_its_value() {
    let told = |toml: &str| Story::new().file("config/default.toml", toml).problem();
    let tokn = told("[github]\ntokn = 'ghp_secret'");
    assert!(
        tokn.starts_with("github.tokn (file config/default.toml)") && tokn.ends_with("did you mean `github.token`?")
    );
    assert!(!tokn.contains("ghp_secret"));
    assert!(told("github = 'x'").contains("it is a section: set its keys, as in `github.api_url`"));
    assert!(told("[github.token]\nvalue = 'x'").contains("github.token.value"));
    assert!(told("[weather]\nforecast = 'x'").contains("`starkeep config show` lists all keys"));
    let variable = Story::new().set("STARKEEP__GITHUB__TOKENZ", "ghp_secret").problem();
    assert!(variable.contains("environment variable STARKEEP__GITHUB__TOKENZ") && !variable.contains("ghp_secret"));
}

#[test]
fn a_named_file_must_be_there_and_a_layers_file_need_not() {
    assert!(Story::new().named("missing.toml").problem().starts_with("--config missing.toml: there is no such file"));
    assert!(Story::new().named("config").problem().contains("cannot be read"));
    Story::new().set("STARKEEP_ENV", "production").load();
    let slip = Story::new().set("STARKEEP_ENV", "prod").problem();
    assert!(slip.contains("STARKEEP_ENV config/prod.toml: there is no such file"), "{slip}");
    Story::new().set("STARKEEP_ENV", "lab").file("config/lab.toml", "").load();
    assert!(Story::new().set("STARKEEP_ENV", "../../etc/x").problem().contains("no name of an environment"));
}

#[test]
fn secrets_come_by_value_and_by_reference_and_are_never_shown() {
    let story = Story::new()
        .file("key.pem", "-----BEGIN RSA PRIVATE KEY-----\nsecretkey\n-----END RSA PRIVATE KEY-----\n")
        .file("config/default.toml", "[onedev]\ntoken = 'secrettoken'")
        .set("STARKEEP__GITHUB__TOKEN", "env:MY_TOKEN")
        .set("MY_TOKEN", "secretghp")
        .set("STARKEEP__GITHUB__APP_ID", "7")
        .set("STARKEEP__GITHUB__APP_PRIVATE_KEY", "file:key.pem")
        .set("STARKEEP__DATABASE__URL", "postgres://me:secretpass@db:5432/starkeep");
    let loaded = story.load();
    let expose =
        |it: &Option<secrecy::SecretString>| secrecy::ExposeSecret::expose_secret(it.as_ref().unwrap()).to_owned();
    assert_eq!(expose(&loaded.config.github.token), "secretghp");
    assert_eq!(expose(&loaded.config.onedev.token), "secrettoken");
    assert!(expose(&loaded.config.github.app_private_key).ends_with("KEY-----"));
    assert_eq!(shown(&loaded, "github.token").value, "env:MY_TOKEN");
    assert_eq!(shown(&loaded, "github.app_private_key").value, "file:key.pem");
    assert_eq!(shown(&loaded, "onedev.token").value, "********");
    assert_eq!(shown(&loaded, "database.url").value, "postgres://me:********@db:5432/starkeep");
    assert_eq!(shown(&loaded, "github.webhook_secret").value, serde_json::Value::Null);
    let everything = format!("{loaded:?} {:?} {}", story.options, serde_json::to_string(loaded.show()).unwrap());
    for secret in ["secretkey", "secrettoken", "secretghp", "secretpass"] {
        assert!(!everything.contains(secret), "{everything}");
    }
}

#[test]
fn a_reference_that_leads_nowhere_is_a_problem_of_its_key() {
    let story = Story::new()
        .set("STARKEEP__GITHUB__TOKEN", "env:NOT_THERE")
        .set("STARKEEP__ONEDEV__TOKEN", "file:/not/there")
        .set("STARKEEP__ADMIN__TOKEN", "vault:kv/starkeep#admin")
        .set("STARKEEP__DATABASE__URL", "env:DATABASE_URL");
    let all = story.problems().join("\n");
    for line in [
        "github.token (environment variable STARKEEP__GITHUB__TOKEN): `env:NOT_THERE` names a variable that is not set",
        "onedev.token (environment variable STARKEEP__ONEDEV__TOKEN): `file:/not/there` cannot be read",
        "admin.token (environment variable STARKEEP__ADMIN__TOKEN): `vault:kv/starkeep#admin` was not looked up",
        "database.url (environment variable STARKEEP__DATABASE__URL): `env:DATABASE_URL` names a variable",
    ] {
        assert!(all.contains(line), "{line}\nis not in\n{all}");
    }
    assert_eq!(all.lines().count(), 4, "{all}");
}

#[test]
fn a_secret_that_no_header_carries_is_refused_and_not_shown() {
    for (key, secret) in [
        ("TRACES__AUTHORIZATION", "Bearer hünter2"),
        ("TRACES__AUTHORIZATION", "Bearer hunter2\nX-Other: 2"),
        ("ADMIN__TOKEN", "hunter 2"),
    ] {
        let told = Story::new().set(&format!("STARKEEP__{key}"), secret).problem();
        let name = key.to_lowercase().replace("__", ".");
        assert!(told.starts_with(&name) && told.contains("cannot stand in a request's header"), "{told}");
        assert!(!told.contains("nter"), "{told}");
    }
    Story::new().set("STARKEEP__TRACES__AUTHORIZATION", "Basic aHVudGVyMg==").load();
}

#[test]
fn an_address_with_a_password_in_it_is_refused_and_masked() {
    let told = Story::new().set("STARKEEP__ONEDEV__URL", "https://me:hunter2@onedev.example.org").problem();
    assert!(told.contains("`https://***@onedev.example.org`") && !told.contains("hunter2"), "{told}");
}

#[test]
fn a_file_of_this_repository_is_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let options = LoadOptions { directory: folder.to_owned(), ..LoadOptions::default() };
    assert!(Config::load(&options).is_ok());
}

/// What would be printed of this configuration, by `show`, `Debug` or as problems.
fn told(story: &Story) -> String {
    match Config::load(&story.options) {
        Ok(loaded) => format!("{loaded:?} {}", serde_json::to_string(loaded.show()).unwrap()),
        Err(problems) => format!("{problems} {problems:?} {}", serde_json::to_string(&problems).unwrap()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_secret_is_told_whatever_it_looks_like(
        key in "(GITHUB__TOKEN|GITHUB__APP_PRIVATE_KEY|GITHUB__WEBHOOK_SECRET|ONEDEV__TOKEN|ADMIN__TOKEN|DATABASE__URL)",
        before in "(postgres://me:[^/@\\pC]{0,9}|(postgres://h/d\\?password=|https://|vault|ghp_|-----BEGIN )?\\PC{0,9})",
        after in "(@h/d)?\\PC{0,9}",
    ) {
        let story = Story::new().set(&format!("STARKEEP__{key}"), &format!("{before}hunter2{after}"));
        prop_assert!(!told(&story).contains("hunter2"));
    }

    #[test]
    fn no_broken_file_tells_what_is_in_it(before in "\\PC{0,9}\n?", after in "['\"]?\\PC{0,9}\n?\\PC{0,9}") {
        let text = format!("{before}[github]\ntoken = \"hunter2{after}");
        prop_assert!(!told(&Story::new().file("config/default.toml", &text)).contains("hunter2"));
    }

    #[test]
    fn any_value_of_any_key_is_taken(value in "\\PC{0,20}", at: usize) {
        let keys: Vec<String> = Story::new().load().show().iter().map(|it| it.key.clone()).collect();
        let name = format!("STARKEEP__{}", keys[at % keys.len()].to_uppercase().replace('.', "__"));
        let _ = told(&Story::new().set(&name, &value));
    }
}
