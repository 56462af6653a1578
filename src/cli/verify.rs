//! `starkeep verify`: reads both sides of each mirror now and names every difference.

use serde_json::json;

use super::{Given, output, status};
use crate::app::{App, AppOptions};
use crate::domain::outcome::Comparison;
use crate::domain::part::Part;
use crate::domain::repository::RepositoryName;
use crate::store::mirrors::Mirror;

pub(super) async fn run(given: &Given, names: Vec<RepositoryName>) -> anyhow::Result<u8> {
    let config = given.quiet_config().await?;
    let app = App::start(AppOptions { config, only: Some(Vec::new()), ..AppOptions::default() }).await?;
    let chosen = status::select(&app.store, &names).await?;
    let (mut level, mut report) = (true, Vec::new());
    for mirror in &chosen {
        let code = (Part::Code, app.compare(mirror).await);
        let wiki = app.compare_wiki(mirror).await.transpose().map(|it| (Part::Wiki, it));
        for (part, compared) in std::iter::once(code).chain(wiki) {
            level &= matches!(&compared, Ok(it) if it.is_level());
            if given.json {
                report.push(as_json(mirror, part, &compared));
            } else {
                output::line(&as_text(mirror, part, &compared));
            }
        }
    }
    if given.json {
        output::json(&report)?;
    }
    app.shut_down().await;
    Ok(u8::from(!level))
}

fn as_json(mirror: &Mirror, part: Part, compared: &anyhow::Result<Comparison>) -> serde_json::Value {
    let name = mirror.name.to_string();
    match compared {
        Err(error) => json!({ "repository": name, "part": part, "level": false, "error": error.to_string() }),
        Ok(it) => json!({
            "repository": name,
            "part": part,
            "level": it.is_level(),
            "digest": it.digest,
            "ref_count": it.ref_count,
            "differences": it.differences,
            "not_level": it.not_level,
            "catalog": it.catalog.as_ref().map(|it| json!({ "ref": it.name, "expected": it.expected, "found": it.found })),
            "lost_objects": it.lost_objects,
            "default_branch": it.default_branch.as_ref().map(|(up, here)| json!({ "upstream": up, "onedev": here })),
        }),
    }
}

fn as_text(mirror: &Mirror, part: Part, compared: &anyhow::Result<Comparison>) -> String {
    let name = match part {
        Part::Code => mirror.name.to_string(),
        Part::Wiki => format!("{} (wiki)", mirror.name),
    };
    match compared {
        Err(error) => format!("{name}: could not be compared: {error}"),
        Ok(it) if it.is_level() => {
            format!("{name}: level, {} refs, digest {}{}", it.ref_count, it.digest, catalog(it))
        }
        Ok(it) => {
            let mut text = format!("{name}: {} refs differ", it.differences.len());
            for difference in &it.differences {
                let show = |oid: Option<crate::domain::refs::Oid>| {
                    oid.map_or_else(|| "absent".to_owned(), |it| it.to_string())
                };
                text.push_str(&format!(
                    "\n    {}: upstream {}, OneDev {}",
                    difference.name,
                    show(difference.upstream),
                    show(difference.onedev)
                ));
            }
            if let Some((upstream, onedev)) = &it.default_branch {
                let onedev = onedev.as_deref().unwrap_or("none");
                text.push_str(&format!("\n    default branch: upstream {upstream}, OneDev {onedev}"));
            }
            for oid in &it.lost_objects {
                text.push_str(&format!("\n    LFS object {oid}: absent in OneDev"));
            }
            text.push_str(&catalog(it));
            text
        }
    }
}

/// What is said of the catalog's ref, which is no part of being level.
fn catalog(compared: &Comparison) -> String {
    let Some(moved) = &compared.catalog else { return String::new() };
    let found = moved.found.map_or_else(|| "absent".to_owned(), |it| it.to_string());
    format!("\n    {}: put at {}, OneDev {found}", moved.name, moved.expected)
}
