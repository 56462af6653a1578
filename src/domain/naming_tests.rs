//! What the naming rule promises, by example and by property.

use proptest::prelude::*;

use super::*;

fn naming() -> Naming {
    Naming::parse("{owner}/{name}", "github").unwrap()
}

fn path(name: &str) -> String {
    naming().path(&name.parse().unwrap(), None).to_string()
}

#[test]
fn an_ordinary_name_stays_as_it_is() {
    assert_eq!(path("Octo-Cat/Hello.World_1"), "github/Octo-Cat/Hello.World_1");
    assert_eq!(path("octo/new"), "github/octo/new");
    assert_eq!(path("octo/wiki"), "github/octo/wiki");
}

#[test]
fn what_onedev_cannot_show_or_serve_is_escaped_and_stays_apart() {
    for (name, expected) in [
        ("octo/.github", "github/octo/_.github"),
        ("octo/_.github", "github/octo/__.github"),
        ("octo/__.github", "github/octo/___.github"),
        ("octo/-x", "github/octo/_-x"),
        ("octo/projects", "github/octo/_projects"),
        ("octo/Projects", "github/octo/_Projects"),
        ("octo/_projects", "github/octo/__projects"),
        ("octo/projects2", "github/octo/projects2"),
        ("octo/_", "github/octo/_"),
        ("octo/_x", "github/octo/_x"),
        ("projects/robots.txt", "github/_projects/_robots.txt"),
        ("-a/b", "github/_-a/b"),
    ] {
        assert_eq!(path(name), expected);
    }
}

#[test]
fn a_name_that_ends_in_git_cannot_stand_before_its_neighbour() {
    assert_eq!(path("octo/tool.git"), "github/octo/tool.git_");
    assert_eq!(path("octo/tool.GIT"), "github/octo/tool.GIT_");
    assert_eq!(path("octo/tool.git_"), "github/octo/tool.git__");
    assert_eq!(path("octo/.git"), "github/octo/_.git_");
}

#[test]
fn the_second_choice_carries_the_id_and_is_nobodys_first() {
    let second = naming().suffixed(&"octo/hello".parse().unwrap(), None, GithubId(42));
    assert_eq!(second.to_string(), "github/octo/hello-gh42");
    assert_eq!(path("octo/hello-gh42"), "github/octo/hello-gh42_");
    let hidden = naming().suffixed(&"octo/.github".parse().unwrap(), None, GithubId(7));
    assert_eq!(hidden.to_string(), "github/octo/_.github-gh7");
    let git = naming().suffixed(&"octo/a.git".parse().unwrap(), None, GithubId(7));
    assert_eq!(git.to_string(), "github/octo/a.git_-gh7");
}

#[test]
fn other_templates_are_taken_if_they_can_be_understood() {
    let flat = Naming::parse("mirrors/{owner}.{name}", "a/b").unwrap();
    assert_eq!(flat.path(&"octo/.x".parse().unwrap(), None).to_string(), "a/b/mirrors/octo..x");
    let fixed = Naming::parse("-{name}", "a").unwrap();
    assert_eq!(fixed.path(&"octo/x".parse().unwrap(), None).to_string(), "a/_-x");
}

#[test]
fn a_template_that_could_go_wrong_is_refused_with_the_mend() {
    for (template, word) in [
        ("{owner}/{topic}", "{list}"),
        ("{owner}", "{name}"),
        ("{name}/x", "{name}"),
        ("", "empty"),
        ("{owner}//{name}", "empty"),
        ("/{name}", "empty"),
        ("../{name}", "leads elsewhere"),
        ("./{name}", "leads elsewhere"),
        ("projects/{name}", "keeps for itself"),
        ("~x/{name}", "first a letter"),
        ("{owner}/{name", "not closed"),
        ("{owner}/x {name}", "placeholders"),
        ("{owner}/{name}}", "placeholders"),
        ("é{name}", "placeholders"),
    ] {
        let error = Naming::parse(template, "github").unwrap_err().to_string();
        assert!(error.contains(word), "{template}: {error}");
    }
    for root in
        ["", "..", "a/../b", "a//b", "/a", "a/", "~x", ".a", "a b", "wicket", "x/Projects", "a.git", FAKED_OWNER]
    {
        assert!(Naming::parse("{owner}/{name}", root).is_err(), "{root:?}");
    }
}

#[test]
fn a_root_that_leaves_no_room_is_refused_before_anything_starts() {
    let longest_root = LONGEST_PATH - (1 + 39 + 2) - (1 + 100 + 2) - 22 - "/wiki".len();
    let naming = Naming::parse("{owner}/{name}", &"r".repeat(longest_root)).unwrap();
    let name = RepositoryName::new(&format!("-{}-gh1", "o".repeat(34)), &format!(".{}.git", "n".repeat(95))).unwrap();
    let longest = naming.suffixed(&name, None, GithubId(i64::MAX));
    assert_eq!(longest.wiki().unwrap().as_str().len(), LONGEST_PATH);
    let error = Naming::parse("{owner}/{name}", &"r".repeat(longest_root + 1)).unwrap_err();
    assert_eq!(error, InvalidNaming::TooLong { longest: LONGEST_PATH + 1 });
}

#[test]
fn a_path_knows_its_parents_and_ignores_case() {
    let path: ProjectPath = "github/Octo/hello".parse().unwrap();
    assert_eq!(path, "GitHub/octo/HELLO".parse().unwrap());
    assert_eq!(path.name(), "hello");
    assert_eq!(path.segments().collect::<Vec<_>>(), ["github", "Octo", "hello"]);
    let parent = path.parent().unwrap();
    assert_eq!(parent.as_str(), "github/Octo");
    assert_eq!(parent.parent().and_then(|it| it.parent()), None);
    assert!(path.is_below(&"GITHUB".parse().unwrap()));
    assert!(!path.is_below(&path));
    assert!(!path.is_below(&"git".parse().unwrap()));
    assert!(!"github2/x".parse::<ProjectPath>().unwrap().is_below(&"github".parse().unwrap()));
}

fn owner() -> impl Strategy<Value = String> {
    prop_oneof!["[A-Za-z0-9_-]{1,39}", "_{0,2}(projects|Wicket|avatars|a-gh[0-9]{1,2})_{0,2}"]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9_.-]{1,100}",
        "[-_.aA]{1,4}",
        "_{0,3}(projects|PROJECTS|robots\\.txt|logo-dark\\.png|\\.github|-x|x)_{0,3}",
        "_{0,2}[.a-]{0,2}(\\.git|\\.GIT|-gh[0-9]{0,2}|-GH1){1,2}_{0,3}",
    ]
    .prop_filter("GitHub has no such name", |name| name != "." && name != "..")
}

fn repository() -> impl Strategy<Value = RepositoryName> {
    (owner(), name()).prop_filter_map("no name", |(owner, name)| RepositoryName::new(&owner, &name).ok())
}

proptest! {
    #[test]
    fn every_path_is_legal(name in repository(), id in 0..=i64::MAX) {
        for path in [naming().path(&name, None), naming().suffixed(&name, None, GithubId(id))] {
            let again: ProjectPath = path.as_str().parse().unwrap();
            prop_assert_eq!(again.as_str(), path.as_str());
            prop_assert!(path.is_below(naming().root()));
            prop_assert_eq!(path.segments().count(), 3);
        }
    }

    #[test]
    fn two_names_share_a_path_exactly_when_github_takes_them_for_one(a in repository(), b in repository()) {
        prop_assert_eq!(naming().path(&a, None) == naming().path(&b, None), a == b);
    }

    #[test]
    fn names_that_differ_little_stay_apart(
        a in repository(), prefix in "_{0,3}", suffix in "_{0,3}", upper in any::<bool>()
    ) {
        let other = format!("{prefix}{}{suffix}", a.name());
        let other = if upper { other.to_uppercase() } else { other };
        let Ok(b) = RepositoryName::new(a.owner(), &other) else { return Ok(()) };
        prop_assert_eq!(naming().path(&a, None) == naming().path(&b, None), a == b);
    }

    #[test]
    fn a_second_choice_is_shared_with_nobody(a in repository(), b in repository(), one in 0..99i64, two in 0..99i64) {
        prop_assert_ne!(naming().suffixed(&a, None, GithubId(one)), naming().path(&b, None));
        if one != two {
            prop_assert_ne!(naming().suffixed(&a, None, GithubId(one)), naming().suffixed(&b, None, GithubId(two)));
        }
    }
}
