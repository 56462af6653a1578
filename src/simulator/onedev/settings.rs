//! OneDev's settings as a new installation has them.

use serde_json::{Value, json};

/// A project's setting.
pub(crate) fn project() -> Value {
    let named = |name: &str, query: Option<&str>| json!({ "name": name, "query": query });
    json!({
        "branchProtections": [],
        "tagProtections": [],
        "issueSetting": {
            "listFields": null,
            "listLinks": null,
            "boardSpecs": null,
            "namedQueries": null,
            "transitionSpecs": [],
            "timesheetSettings": {},
            "branchPrefix": null,
        },
        "buildSetting": {
            "listParams": null,
            "namedQueries": null,
            "jobProperties": [],
            "jobSecrets": [],
            "buildPreservations": [],
            "defaultFixedIssueFilters": [],
            "cachePreserveDays": null,
        },
        "packSetting": { "namedQueries": null },
        "pullRequestSetting": {
            "namedQueries": null,
            "defaultMergeStrategy": null,
            "defaultAssignees": [],
            "deleteSourceBranchAfterMerge": null,
        },
        "workspaceSetting": { "namedQueries": null },
        "namedCommitQueries": [
            named("All", None),
            named("Default branch", Some("default-branch")),
            named("Authored by me", Some("authored-by-me")),
            named("Committed by me", Some("committed-by-me")),
            named("Committed recently", Some("after(last week)")),
        ],
        "namedCodeCommentQueries": [
            named("Unresolved", Some("unresolved")),
            named("Created by me", Some("created by me")),
            named("Mentioned me", Some("mentioned me")),
            named("Created recently", Some("\"Create Date\" is since \"last week\"")),
            named("Has activity recently", Some("\"Last Activity Date\" is since \"last week\"")),
            named("Resolved", Some("resolved")),
            named("All", None),
        ],
        "webHooks": [],
        "contributedSettings": [],
    })
}

/// The server's security setting.
pub(crate) fn security() -> Value {
    json!({
        "enableAnonymousAccess": false,
        "disableInternalLogin": false,
        "enableSelfRegister": true,
        "allowedSelfRegisterEmailDomain": null,
        "enableSelfDeregister": false,
        "passwordPolicy": null,
        "defaultGroupName": null,
        "enforce2FA": false,
        "corsAllowedOrigins": [],
    })
}

/// The server's system setting, with the address that it believes to have.
pub(crate) fn system(url: &str) -> Value {
    json!({
        "serverUrl": url,
        "sshRootUrl": null,
        "gitLocation": { "@type": "SystemGit" },
        "curlLocation": { "@type": "SystemCurl" },
        "sessionTimeout": null,
        "disableAutoUpdateCheck": false,
        "disableDashboard": false,
        "useAvatarService": false,
        "avatarServiceUrl": "https://secure.gravatar.com/avatar/",
        "defaultForkRoot": "forks",
        "noreplyEmailDomain": "noreply.localhost",
    })
}

/// The seed roles.
pub(crate) fn roles() -> Value {
    let role = |id: i64, name: &str, manages: bool, code: &str| {
        json!({
            "id": id,
            "name": name,
            "description": null,
            "manageProject": manages,
            "createChildren": manages,
            "managePullRequests": manages,
            "manageCodeComments": manages,
            "codePrivilege": code,
            "packPrivilege": if manages { "WRITE" } else { "READ" },
            "manageIssues": manages,
            "accessConfidentialIssues": manages,
            "accessTimeTracking": manages,
        })
    };
    json!([
        role(1, "Project Owner", true, "WRITE"),
        role(3, "Code Writer", false, "WRITE"),
        role(4, "Code Reader", false, "READ"),
        role(5, "Workspace Creator", false, "READ"),
        role(6, "Package Writer", false, "NONE"),
        role(7, "Package Reader", false, "NONE"),
        role(8, "Issue Manager", false, "NONE"),
        role(9, "Issue Reporter", false, "NONE"),
    ])
}
