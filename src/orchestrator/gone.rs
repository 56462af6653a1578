//! An upstream that is not there any more: whether that is believed, and what people are told.

use chrono::Utc;

use super::Tools;
use super::drive::PATIENCE;
use crate::domain::gone;
use crate::domain::ids::MirrorId;
use crate::domain::mirror::Status;
use crate::domain::retry::Retry;
use crate::stages::failure::{Failure, Verdict};
use crate::stages::messages::TellGone;
use crate::store::mirrors;
use crate::store::vanished::{self, Judgement};

/// What the failure means once it is known how many others vanished: `mass_gone` while an admin must say so
/// first. That is committed before anything else says that upstream has gone.
pub(super) async fn brake(tools: &Tools, id: MirrorId, failure: Failure) -> Failure {
    let share = tools.mass_gone;
    let judge = move |c: &mut _| vanished::judge(c, id, share, Utc::now());
    match tools.store.write(judge).await {
        Ok(Judgement::Settled) => failure,
        Ok(Judgement::Held { whose, told }) => held(&failure, share.unwrap_or_default(), &whose, told),
        Err(error) => error.into(),
    }
}

fn held(failure: &Failure, share: u8, whose: &str, told: bool) -> Failure {
    let Failure { code, message, .. } = failure;
    let message = format!(
        "{message} ({code}); but more than policy.mass_gone ({share}%) of the mirrors of {whose} vanished within a day, \
         so this one is not settled as gone, and nothing is archived or deleted. If it is true: POST /api/v1/vanished \
         with {{\"confirm\": true}}, else {{\"confirm\": false}} looks again at once; should upstream come back by \
         itself, so does the mirror"
    );
    Failure::new("mass_gone", message, Retry::Never).meaning(Verdict::Held { told })
}

/// People who look at the project shall know that nothing comes any more. If OneDev is away, the next look
/// at the mirror says it.
pub(super) async fn tell(tools: &Tools, id: MirrorId, failure: &Failure) {
    let told = async {
        let Some(mirror) = tools.store.read(move |c| mirrors::find(c, id)).await? else { return Ok(false) };
        if mirror.first_proof_at.is_none() {
            return Ok(false);
        }
        let known = mirror.error.as_ref().filter(|it| mirror.status == Status::Gone && it.code == failure.code);
        let line = gone::line(known.map_or_else(Utc::now, |it| it.since), failure.code, &failure.message);
        tools.stages.ensure.ask(TellGone { mirror, line }, PATIENCE).await?
    };
    if let Err::<bool, Failure>(failure) = told.await {
        tracing::warn!(code = failure.code, "the description does not say that upstream has gone: {}", failure.message);
    }
}
