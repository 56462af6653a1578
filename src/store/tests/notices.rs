//! What is news of a mirror: how it stands against what was told of it.

use diesel::connection::SimpleConnection as _;

use super::{Bed, at, on_both};
use crate::domain::notice::{Digest, Kind};
use crate::store::{Connection, StoreError, notices};

on_both!(only_what_differs_from_what_was_told_is_news);

async fn only_what_differs_from_what_was_told_is_news(bed: Bed) {
    let (failed, brake, gone, well) = (Kind::Failed, Kind::MassBrake, Kind::Gone, Kind::Recovered);
    let all = [
        ("pending", "", "", None),
        ("healthy", "", "", None),
        ("healthy", "", "failed", Some(well)),
        ("partial", "", "gone", Some(well)),
        ("error", "git_failed", "", Some(failed)),
        ("error", "git_failed", "failed", None),
        ("error", "mass_delete", "failed", Some(brake)),
        ("gone", "upstream_not_found", "", Some(gone)),
        ("gone", "upstream_owner_gone", "gone", None),
        ("gone", "upstream_unavailable", "gone", Some(gone)),
        ("paused", "", "failed", None),
    ];
    let mut rows = String::new();
    for (id, (status, code, told, _)) in (1..).zip(all) {
        bed.mirror(id).await;
        rows.push_str(&format!("UPDATE mirrors SET status = '{status}' WHERE github_id = {id};"));
        if !code.is_empty() {
            rows.push_str(&format!("UPDATE mirrors SET error_code = '{code}' WHERE github_id = {id};"));
        }
        if !told.is_empty() {
            let row = format!("INSERT INTO notified SELECT id, '{told}' FROM mirrors WHERE github_id = {id};");
            rows.push_str(&row);
        }
    }
    bed.write(move |c: &mut Connection| c.db.batch_execute(&rows).map_err(StoreError::from)).await;
    // Opens the window, and tells when it is over.
    for second in [1, 2] {
        assert!(bed.read(move |c| notices::is_needed(c, at(second))).await);
        let window = chrono::TimeDelta::seconds(1);
        bed.write(move |c| notices::gather(c, &["webhook"], 100, window, at(second))).await;
    }
    let sent = bed.read(|c| notices::due(c, at(2))).await;
    let digest: Digest = serde_json::from_str(&sent[0].body).unwrap();
    let mut told: Vec<_> = digest.changes.into_iter().map(|it| (it.name, it.kind)).collect();
    let expected = (1..).zip(all).filter_map(|(id, (.., kind))| Some((format!("octo/r{id}"), kind?)));
    let mut expected: Vec<_> = expected.collect();
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
    let id = sent[0].id.clone();
    bed.write(move |c| notices::done(c, &id)).await;
    assert!(!bed.read(|c| notices::is_needed(c, at(3))).await, "all is told");
}
