//! The refs of both sides, read live over canned git answers.

use reqwest::Method;
use serde_json::json;

use super::house::{House, Plan};
use super::mirrors::give_project;
use crate::canned::{Reply, Seen};

fn oid(digit: char) -> String {
    digit.to_string().repeat(40)
}

fn pkt(line: &str) -> String {
    format!("{:04x}{line}", line.len() + 4)
}

fn upstream(request: &Seen) -> Reply {
    match (request.method.as_str(), request.target.split('?').next().unwrap()) {
        ("GET", "/repos/octo/hello") => {
            Reply::json(200, &json!({"id": 42, "name": "hello", "owner": {"login": "octo"}, "private": false}))
        }
        ("GET", _) => {
            let lines = ["version 2\n", "ls-refs=unborn\n", "fetch\n", "object-format=sha1\n"].map(pkt).concat();
            let body = format!("{}0000{lines}0000", pkt("# service=git-upload-pack\n"));
            Reply::new(200, "application/x-git-upload-pack-advertisement", body)
        }
        _ => {
            let (main, extra) = (oid('a'), oid('b'));
            let lines = [
                pkt(&format!("{main} HEAD symref-target:refs/heads/main\n")),
                pkt(&format!("{main} refs/heads/main\n")),
                pkt(&format!("{extra} refs/heads/next\n")),
            ];
            Reply::new(200, "application/x-git-upload-pack-result", format!("{}0000", lines.concat()))
        }
    }
}

fn onedev(_: &Seen) -> Reply {
    let first = format!("{} refs/heads/main\0report-status delete-refs atomic object-format=sha1\n", oid('a'));
    let second = format!("{} refs/starkeep/kept/20260101T000000Z-cccccccc/heads/main\n", oid('c'));
    let body = format!("{}0000{}{}0000", pkt("# service=git-receive-pack\n"), pkt(&first), pkt(&second));
    Reply::new(200, "application/x-git-receive-pack-advertisement", body)
}

async fn house() -> (House, String) {
    let mut plan = Plan::new();
    plan.github = Box::new(upstream);
    plan.onedev = Box::new(onedev);
    let house = plan.build().await;
    let added = house.api(Method::POST, "/mirrors", Some(json!({"repository": "octo/hello"}))).await.expect(201);
    (house, format!("/mirrors/{}", added["id"].as_str().unwrap()))
}

#[actix::test]
async fn both_sides_are_shown_as_they_stand_now() {
    let (house, path) = house().await;
    house.look(&format!("{path}/refs")).await.problem(409, "mirror_without_project");
    give_project(&house, path.rsplit('/').next().unwrap()).await;
    let shown = house.look(&format!("{path}/refs")).await.expect(200);
    assert_eq!(
        shown,
        json!({
            "items": [
                {"ref": "refs/heads/main", "upstream": oid('a'), "onedev": oid('a'), "state": "level"},
                {"ref": "refs/heads/next", "upstream": oid('b'), "onedev": null, "state": "missing"},
                {"ref": "refs/starkeep/kept/20260101T000000Z-cccccccc/heads/main", "upstream": null,
                 "onedev": oid('c'), "state": "kept"},
            ],
            "next_cursor": null,
        })
    );
    let first = house.look(&format!("{path}/refs?limit=1")).await.expect(200);
    assert_eq!(first["next_cursor"], "refs/heads/main");
    let second = house.look(&format!("{path}/refs?limit=1&cursor=refs/heads/main")).await.expect(200);
    assert_eq!(second["items"][0]["ref"], "refs/heads/next");
    house.look(&format!("{path}/refs?cursor=x")).await.problem(400, "bad_cursor");
}
