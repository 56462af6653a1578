//! Who may see a mirror: the role that everybody who logs in has on a project.
//!
//! OneDev knows no "public" flag. A project on which the base role is `Code Reader` is readable for
//! every logged-in user, and for everybody where the server lets anonymous users in. The role is
//! inherited by child projects.

use super::client::{OnedevClient, set_query};
use super::error::OnedevError;
use super::exchange::Call;
use super::model::{BaseAuthorization, Role};
use crate::domain::ids::ProjectId;

/// The role's name as OneDev seeds it.
const READER: &str = "Code Reader";
/// Its id as OneDev seeds it, for tokens that may not read the roles.
const SEEDED_READER: i64 = 4;

impl OnedevClient {
    /// Makes a project readable for everybody who logs in, or takes that back. Any other base role
    /// stays. `true` if something had to change.
    ///
    /// # Errors
    /// [`OnedevError`].
    pub async fn set_readable(&self, project: ProjectId, readable: bool) -> Result<bool, OnedevError> {
        let given = self.base_authorizations(project).await?;
        if given.is_empty() && !readable {
            return Ok(false);
        }
        let role = match self.reader_role_id().await {
            // A role that does not exist is nobody's: nothing to take back.
            Err(OnedevError::Config(_)) if !readable => return Ok(false),
            other => other?,
        };
        let ours = given.iter().find(|it| it.role_id == role).copied();
        match (ours, readable) {
            (Some(_), true) | (None, false) => Ok(false),
            (None, true) => self.authorize(project, role).await.map(|()| true),
            (Some(entry), false) => self.withdraw(project, entry).await.map(|()| true),
        }
    }

    async fn base_authorizations(&self, project: ProjectId) -> Result<Vec<BaseAuthorization>, OnedevError> {
        let url = self.exchange().api(["projects", &project.to_string(), "base-authorizations"]);
        self.send(Call::get(url)).await?.json()
    }

    async fn authorize(&self, project: ProjectId, role: i64) -> Result<(), OnedevError> {
        let body = serde_json::json!({ "projectId": project, "roleId": role });
        match self.send(Call::post(self.exchange().api(["base-authorizations"]), body)).await {
            Ok(_) => Ok(()),
            // Two at once: the second one fails on the database's uniqueness.
            Err(error @ OnedevError::Server { .. }) => {
                let given = self.base_authorizations(project).await?;
                if given.iter().any(|it| it.role_id == role) { Ok(()) } else { Err(error) }
            }
            Err(error) => Err(error),
        }
    }

    async fn withdraw(&self, project: ProjectId, entry: BaseAuthorization) -> Result<(), OnedevError> {
        let url = self.exchange().api(["base-authorizations", &entry.id.to_string()]);
        let Err(error) = self.send(Call::delete(url)).await else { return Ok(()) };
        // Gone by another hand is as good.
        let given = self.base_authorizations(project).await?;
        if given.iter().any(|it| it.id == entry.id) { Err(error) } else { Ok(()) }
    }

    /// The id of the role, asked once. A token that is bound to a project may not read the roles.
    async fn reader_role_id(&self) -> Result<i64, OnedevError> {
        self.reader_role().get_or_try_init(|| self.find_reader_role()).await.copied()
    }

    async fn find_reader_role(&self) -> Result<i64, OnedevError> {
        let mut url = self.exchange().api(["roles"]);
        set_query(&mut url, &[("offset", "0"), ("count", "100")]);
        let roles: Vec<Role> = match self.send(Call::get(url)).await {
            Ok(answer) => answer.json()?,
            // 401 is said of other global lists; the same token has just read the project's own.
            Err(OnedevError::Forbidden(_) | OnedevError::Unauthorized(_)) => return Ok(SEEDED_READER),
            Err(error) => return Err(error),
        };
        roles.iter().find(|it| it.name == READER).map(|it| it.id).ok_or_else(|| {
            OnedevError::Config(format!(
                "onedev.visibility: OneDev has no role named `{READER}`; make one that reads code, or set it to `inherit`"
            ))
        })
    }
}
