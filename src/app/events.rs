//! Writes down what this process is doing, for whoever follows at any process that serves.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::store::events::{self, NewEvent};
use crate::store::{Store, StoreError};
use crate::telemetry::progress::Step;

/// Steps of so long are written together.
const GATHERED: Duration = Duration::from_millis(250);
/// Steps written together at most.
const MOST: usize = 500;

/// Writes until it is stopped, and then what it still has.
pub(super) async fn keep(store: Store, mut steps: Receiver<Step>, stop: CancellationToken) {
    let mut followed = None;
    loop {
        let first = tokio::select! {
            () = stop.cancelled() => None,
            step = steps.recv() => match step {
                Ok(step) => Some(step),
                // Who cannot keep up tells less.
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            },
        };
        let ending = first.is_none();
        let mut gathered: Vec<NewEvent> = first.into_iter().map(event).collect();
        if !ending {
            let _ = tokio::time::timeout(GATHERED, gather(&mut steps, &mut gathered)).await;
        }
        while let Ok(step) = steps.try_recv() {
            add(&mut gathered, step);
        }
        if let Err(error) = write(&store, gathered, &mut followed).await {
            tracing::warn!(code = error.code(), "steps of syncs are not told: {error}");
        }
        if ending {
            return;
        }
    }
}

async fn gather(steps: &mut Receiver<Step>, gathered: &mut Vec<NewEvent>) {
    while gathered.len() < MOST {
        match steps.recv().await {
            Ok(step) => add(gathered, step),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

fn event(Step { mirror, stage, bytes }: Step) -> NewEvent {
    NewEvent { at: Utc::now(), mirror, stage: stage.to_owned(), bytes }
}

/// A stage that only goes on is told once in a piece, as far as it is at its end.
fn add(gathered: &mut Vec<NewEvent>, step: Step) {
    let new = event(step);
    match gathered.iter_mut().rev().find(|it| it.mirror == new.mirror) {
        Some(last) if last.stage == new.stage => *last = new,
        _ => gathered.push(new),
    }
}

/// Asks before it writes whether anybody follows, unless it is known for some time to come.
async fn write(store: &Store, gathered: Vec<NewEvent>, followed: &mut Option<DateTime<Utc>>) -> Result<(), StoreError> {
    if gathered.is_empty() {
        return Ok(());
    }
    if followed.is_none_or(|it| it <= Utc::now()) {
        *followed = store.read(events::followed_until).await?;
    }
    if followed.is_some_and(|it| it > Utc::now()) {
        *followed = store.write(move |c| events::append(c, &gathered, Utc::now())).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::ids::MirrorId;

    #[test]
    fn a_stage_that_goes_on_is_told_once_in_a_piece() {
        let (one, other) = (MirrorId(Uuid::from_u128(1)), MirrorId(Uuid::from_u128(2)));
        let mut gathered = Vec::new();
        for (mirror, stage, bytes) in [
            (one, "ensure", 0),
            (one, "transfer", 1),
            (other, "transfer", 5),
            (one, "transfer", 2),
            (other, "transfer", 6),
            (one, "record", 0),
        ] {
            add(&mut gathered, Step { mirror, stage, bytes });
        }
        let told: Vec<_> = gathered.iter().map(|it| (it.mirror == one, it.stage.as_str(), it.bytes)).collect();
        assert_eq!(told, [(true, "ensure", 0), (true, "transfer", 2), (false, "transfer", 6), (true, "record", 0)]);
    }
}
