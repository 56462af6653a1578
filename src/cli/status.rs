//! `starkeep status`: how mirrors stand, out of the database.

use super::{Given, output};
use crate::app;
use crate::domain::part::{PartId, PartState};
use crate::domain::repository::RepositoryName;
use crate::store::Store;
use crate::store::mirrors::{self, Filter, Mirror};
use crate::store::page::Window;
use crate::store::parts::{self, PartRecord};

pub(super) async fn run(given: &Given, repository: Option<RepositoryName>) -> anyhow::Result<u8> {
    let config = given.quiet_config().await?;
    let store = app::open_store(&config).await?;
    let names: Vec<RepositoryName> = repository.into_iter().collect();
    let found = select(&store, &names).await?;
    let found = with_wikis(&store, found).await?;
    match (given.json, names.is_empty()) {
        (true, true) => output::json(&found.iter().map(as_json).collect::<Vec<_>>())?,
        (true, false) => found.iter().try_for_each(|it| output::json(&as_json(it)))?,
        (false, _) => found.iter().for_each(|(mirror, wiki)| output::line(&row(mirror, wiki.as_ref()))),
    }
    if found.is_empty() && !given.json {
        output::say("there is no mirror yet");
    }
    Ok(0)
}

/// The named mirrors, or all of them.
pub(super) async fn select(store: &Store, names: &[RepositoryName]) -> anyhow::Result<Vec<Mirror>> {
    if names.is_empty() {
        return all(store).await;
    }
    let mut found = Vec::new();
    for name in names {
        let wanted = name.clone();
        let mirror = store.read(move |c| mirrors::by_name(c, &wanted)).await?;
        found.push(
            mirror
                .ok_or_else(|| anyhow::anyhow!("there is no mirror of {name}; `starkeep mirror {name}` makes one"))?,
        );
    }
    Ok(found)
}

async fn all(store: &Store) -> anyhow::Result<Vec<Mirror>> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let window = Window { limit: 200, cursor };
        let page = store.read(move |c| mirrors::list(c, &Filter::default(), &window)).await?;
        found.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(found);
        }
    }
}

type Shown = (Mirror, Option<PartRecord>);

async fn with_wikis(store: &Store, found: Vec<Mirror>) -> anyhow::Result<Vec<Shown>> {
    let shown = store.read(move |c| {
        found.into_iter().map(|it| parts::find(c, PartId::wiki(it.id)).map(|wiki| (it, wiki))).collect()
    });
    Ok(shown.await?)
}

fn as_json((mirror, wiki): &Shown) -> serde_json::Value {
    let mut shown = mirror.to_json();
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("wiki".to_owned(), serde_json::json!(wiki.as_ref().map(PartRecord::view)));
    }
    shown
}

/// One line: name, status, refs, when proven, where; a second one for an error.
fn row(mirror: &Mirror, wiki: Option<&PartRecord>) -> String {
    let proven = mirror
        .proof
        .as_ref()
        .map_or_else(|| "never".to_owned(), |it| it.verified_at.format("%Y-%m-%d %H:%M:%SZ").to_string());
    let refs = mirror.ref_count.map_or_else(|| "-".to_owned(), |it| it.to_string());
    let place = mirror.project.as_ref().map_or("-", |it| it.url.as_str());
    let mut text = format!(
        "{:<40} {:<9} {refs:>6} refs  verified {proven}  {place}",
        mirror.name.to_string(),
        mirror.status.as_str()
    );
    for it in &mirror.not_level {
        let alias = it.alias.as_ref().map_or_else(String::new, |alias| format!(" (kept as {alias})"));
        text.push_str(&format!("\n    {}: {}{alias}", it.name, it.reason));
    }
    if let Some(error) = &mirror.error {
        text.push_str(&format!("\n    {}: {}", error.code, error.message));
    }
    if let Some(wiki) = wiki.filter(|it| !matches!(it.state, PartState::Absent | PartState::Pending)) {
        let place = wiki.project.as_ref().map_or("-", |it| it.url.as_str());
        text.push_str(&format!("\n    wiki: {}, {} refs  {place}", wiki.state, wiki.ref_count.unwrap_or(0)));
        if let Some(error) = &wiki.error {
            text.push_str(&format!("\n        {}: {}", error.code, error.message));
        }
    }
    text
}
