//! The tables as diesel knows them: one description for both databases, since the migrations of both
//! make the same tables. Times are text of one width (see `time`).

mod api;
mod catalog;

pub(super) use api::{events, invitations, keyed_calls, sessions};
pub(super) use catalog::{
    catalog_assets, catalog_commits, catalog_entries, catalog_feeds, catalog_items, catalog_todo, catalogs,
};

diesel::table! {
    mirrors (id) {
        id -> Text,
        github_id -> BigInt,
        owner -> Text,
        name -> Text,
        named_at -> Text,
        source -> Text,
        status -> Text,
        paused_from -> Nullable<Text>,
        project_id -> Nullable<BigInt>,
        project_path -> Nullable<Text>,
        project_url -> Nullable<Text>,
        intended_path -> Nullable<Text>,
        made_project -> Bool,
        first_proof_at -> Nullable<Text>,
        default_branch -> Nullable<Text>,
        head -> Nullable<Text>,
        ref_count -> Nullable<BigInt>,
        proof_digest -> Nullable<Text>,
        verified_at -> Nullable<Text>,
        onedev_digest -> Nullable<Text>,
        not_level -> Text,
        attempts -> Integer,
        error_code -> Nullable<Text>,
        error_message -> Nullable<Text>,
        error_since -> Nullable<Text>,
        unstarred_at -> Nullable<Text>,
        last_synced_at -> Nullable<Text>,
        last_changed_at -> Nullable<Text>,
        next_sync_at -> Nullable<Text>,
        held_since -> Nullable<Text>,
        created_at -> Text,
        updated_at -> Text,
    }
}

diesel::table! {
    upstreams (mirror_id) {
        mirror_id -> Text,
        private -> Bool,
        archived -> Bool,
        disabled -> Bool,
        fork -> Bool,
        size_kib -> BigInt,
        default_branch -> Nullable<Text>,
        description -> Nullable<Text>,
        pushed_at -> Nullable<Text>,
        described_at -> Text,
        network_id -> Nullable<BigInt>,
    }
}

diesel::table! {
    mirror_names (mirror_id, owner, name) {
        mirror_id -> Text,
        owner -> Text,
        name -> Text,
        seen_at -> Text,
    }
}

diesel::table! {
    tips (mirror_id, part, name) {
        mirror_id -> Text,
        part -> Text,
        #[sql_name = "ref"]
        name -> Text,
        put -> Nullable<Text>,
        intent -> Nullable<Text>,
    }
}

diesel::table! {
    kept (id) {
        id -> BigInt,
        mirror_id -> Text,
        part -> Text,
        #[sql_name = "ref"]
        name -> Text,
        kept_ref -> Text,
        oid -> Text,
        reason -> Text,
        created_at -> Text,
        doomed_at -> Nullable<Text>,
    }
}

diesel::table! {
    markers (mirror_id) {
        mirror_id -> Text,
        marker -> Nullable<Text>,
        facts -> Nullable<Text>,
        written_at -> Nullable<Text>,
        due -> Nullable<Text>,
    }
}

diesel::table! {
    ref_changes (id) {
        id -> BigInt,
        mirror_id -> Text,
        part -> Text,
        #[sql_name = "ref"]
        name -> Text,
        old -> Nullable<Text>,
        new -> Nullable<Text>,
        at -> Text,
    }
}

diesel::table! {
    states (id) {
        id -> BigInt,
        mirror_id -> Text,
        part -> Text,
        at -> Text,
        digest -> Text,
        head -> Nullable<Text>,
        last_change -> BigInt,
    }
}

diesel::table! {
    drills (id) {
        id -> BigInt,
        mirror_id -> Text,
        at -> Text,
        outcome -> Text,
        refs -> BigInt,
        objects -> BigInt,
        bytes -> BigInt,
        millis -> BigInt,
        problem -> Nullable<Text>,
        lfs_objects -> BigInt,
        lfs_bytes -> BigInt,
        lfs_unread -> BigInt,
    }
}

diesel::table! {
    parts (mirror_id, part) {
        mirror_id -> Text,
        part -> Text,
        state -> Text,
        project_id -> Nullable<BigInt>,
        project_path -> Nullable<Text>,
        project_url -> Nullable<Text>,
        intended_path -> Nullable<Text>,
        made_project -> Bool,
        first_proof_at -> Nullable<Text>,
        default_branch -> Nullable<Text>,
        head -> Nullable<Text>,
        ref_count -> Nullable<BigInt>,
        proof_digest -> Nullable<Text>,
        verified_at -> Nullable<Text>,
        not_level -> Text,
        error_code -> Nullable<Text>,
        error_message -> Nullable<Text>,
        error_since -> Nullable<Text>,
        held_since -> Nullable<Text>,
        looked_at -> Nullable<Text>,
        next_look_at -> Nullable<Text>,
        updated_at -> Text,
    }
}

diesel::table! {
    deliveries (id) {
        id -> BigInt,
        guid -> Text,
        event -> Text,
        action -> Nullable<Text>,
        sender_id -> Nullable<BigInt>,
        sender_login -> Nullable<Text>,
        github_id -> Nullable<BigInt>,
        repository -> Nullable<Text>,
        outcome -> Text,
        state -> Text,
        received_at -> Text,
        body -> Text,
        correlation_id -> Text,
    }
}

diesel::table! {
    jobs (id) {
        id -> BigInt,
        kind -> Text,
        mirror_id -> Nullable<Text>,
        state -> Text,
        priority -> SmallInt,
        attempts -> Integer,
        crashes -> Integer,
        run_after -> Text,
        lease_until -> Nullable<Text>,
        leased_by -> Nullable<Text>,
        payload -> Text,
        correlation_id -> Text,
        delivery_guid -> Nullable<Text>,
        error_code -> Nullable<Text>,
        error_message -> Nullable<Text>,
        created_at -> Text,
        updated_at -> Text,
        finished_at -> Nullable<Text>,
    }
}

diesel::table! {
    stars (mirror_id, account_id) {
        mirror_id -> Text,
        account_id -> BigInt,
        starred_at -> Text,
    }
}

diesel::table! {
    delivery_jobs (guid, job_id) {
        guid -> Text,
        job_id -> BigInt,
    }
}

diesel::table! {
    syncs (id) {
        id -> BigInt,
        mirror_id -> Text,
        part -> Text,
        job_id -> Nullable<BigInt>,
        correlation_id -> Text,
        started_at -> Text,
        finished_at -> Nullable<Text>,
        outcome -> Text,
        engine -> Text,
        bytes_in -> BigInt,
        bytes_out -> BigInt,
        objects -> BigInt,
        created -> BigInt,
        moved -> BigInt,
        deleted -> BigInt,
        kept -> BigInt,
        aliased -> BigInt,
        digest -> Nullable<Text>,
        error_code -> Nullable<Text>,
        error_message -> Nullable<Text>,
        changes -> Text,
    }
}

diesel::table! {
    audit (id) {
        id -> BigInt,
        at -> Text,
        actor -> Text,
        action -> Text,
        subject -> Text,
        outcome -> Text,
        detail -> Text,
        correlation_id -> Nullable<Text>,
        address -> Nullable<Text>,
        seq -> Nullable<BigInt>,
        hash -> Nullable<Text>,
    }
}

diesel::table! {
    audit_ends (name) {
        name -> Text,
        seq -> BigInt,
        hash -> Text,
    }
}

diesel::table! {
    api_keys (id) {
        id -> Text,
        name -> Text,
        prefix -> Text,
        hash -> Text,
        scopes -> Text,
        created_by -> Text,
        created_at -> Text,
        expires_at -> Nullable<Text>,
        revoked_at -> Nullable<Text>,
        last_used_at -> Nullable<Text>,
        last_used_ip -> Nullable<Text>,
        usage_count -> BigInt,
    }
}

diesel::table! {
    watched (login) {
        login -> Text,
        account_id -> BigInt,
    }
}

diesel::table! {
    lfs_objects (mirror_id, oid, size) {
        mirror_id -> Text,
        oid -> Text,
        size -> BigInt,
        origin -> Text,
        state -> Text,
        reason -> Nullable<Text>,
        attempts -> Integer,
        next_try_at -> Nullable<Text>,
        reachable -> Bool,
    }
}

diesel::table! {
    lfs_garbage (mirror_id, blob) {
        mirror_id -> Text,
        blob -> Text,
        reason -> Text,
    }
}

diesel::table! {
    lfs_scans (mirror_id) {
        mirror_id -> Text,
        whole -> Bool,
        doubted -> Bool,
        searched_at -> Nullable<Text>,
        elsewhere -> Nullable<Text>,
    }
}

diesel::table! {
    settings (name) {
        name -> Text,
        value -> Text,
    }
}

diesel::table! {
    star_polls (login) {
        login -> Text,
        account_id -> Nullable<BigInt>,
        name -> Nullable<Text>,
        next_at -> Text,
        leased_by -> Nullable<Text>,
        lease_until -> Nullable<Text>,
        etag -> Nullable<Text>,
        counted_at -> Nullable<Text>,
        newest_id -> Nullable<BigInt>,
        newest_at -> Nullable<Text>,
        total -> Nullable<BigInt>,
        hidden -> BigInt,
        scan -> BigInt,
        wants_scan -> Bool,
        scanned_at -> Nullable<Text>,
        gone -> BigInt,
        gone_since -> Nullable<Text>,
        held -> BigInt,
        held_since -> Nullable<Text>,
        allow_gone -> Bool,
        polled_at -> Nullable<Text>,
        failures -> Integer,
        error_code -> Nullable<Text>,
        error_message -> Nullable<Text>,
        error_since -> Nullable<Text>,
    }
}

diesel::table! {
    starred (account_id, github_id) {
        account_id -> BigInt,
        github_id -> BigInt,
        starred_at -> Text,
        added_at -> Text,
        scan -> BigInt,
    }
}

diesel::table! {
    rate_limits (credential, resource) {
        credential -> Text,
        resource -> Text,
        quota -> Nullable<BigInt>,
        remaining -> Nullable<BigInt>,
        resets_at -> Nullable<Text>,
        closed_until -> Nullable<Text>,
        refusals -> Integer,
        updated_at -> Text,
    }
}

diesel::table! {
    listings (id) {
        id -> Text,
        wanted -> Text,
        idempotency -> Nullable<Text>,
        dry_run -> Bool,
        walk -> Text,
        next_at -> Nullable<Text>,
        leased_by -> Nullable<Text>,
        lease_until -> Nullable<Text>,
        whole_at -> Nullable<Text>,
        failures -> Integer,
        error_code -> Nullable<Text>,
        error_message -> Nullable<Text>,
        error_since -> Nullable<Text>,
        correlation_id -> Text,
        created_at -> Text,
        declared -> Bool,
    }
}

diesel::table! {
    listed (listing, github_id) {
        listing -> Text,
        github_id -> BigInt,
        owner -> Text,
        name -> Text,
        size_kib -> BigInt,
        finding -> Text,
    }
}

diesel::table! {
    list_readings (account_id) {
        account_id -> BigInt,
        read_at -> Nullable<Text>,
        next_at -> Text,
        failures -> Integer,
        error_code -> Nullable<Text>,
        error_message -> Nullable<Text>,
        error_since -> Nullable<Text>,
    }
}

diesel::table! {
    star_lists (account_id, list_id) {
        account_id -> BigInt,
        list_id -> Text,
        place -> Integer,
        name -> Text,
        slug -> Text,
        private -> Bool,
        folder -> Text,
    }
}

diesel::table! {
    star_listed (account_id, list_id, github_id) {
        account_id -> BigInt,
        list_id -> Text,
        github_id -> BigInt,
    }
}

diesel::table! {
    list_news (github_id) {
        github_id -> BigInt,
    }
}

diesel::table! {
    list_labels (mirror_id, name) {
        mirror_id -> Text,
        name -> Text,
        spec_id -> BigInt,
        project_id -> BigInt,
        ours -> Bool,
        is_there -> Bool,
    }
}

diesel::table! {
    lookouts (mirror_id) {
        mirror_id -> Text,
        node_id -> Nullable<Text>,
        next_full_at -> Nullable<Text>,
        doubted_at -> Nullable<Text>,
    }
}

diesel::table! {
    sweeps (name) {
        name -> Text,
        next_at -> Text,
        leased_by -> Nullable<Text>,
        lease_until -> Nullable<Text>,
        failures -> Integer,
    }
}

diesel::table! {
    installations (id) {
        id -> BigInt,
        account_id -> Nullable<BigInt>,
        login -> Nullable<Text>,
        selection -> Text,
        permissions -> Text,
        suspended_at -> Nullable<Text>,
        deleted_at -> Nullable<Text>,
        updated_at -> Text,
    }
}

diesel::table! {
    recoveries (app_id) {
        app_id -> BigInt,
        next_at -> Text,
        leased_by -> Nullable<Text>,
        lease_until -> Nullable<Text>,
        looked_to -> Nullable<Text>,
        walk_from -> Nullable<Text>,
        walk_to -> Nullable<Text>,
        cursor -> Nullable<Text>,
        ended_at -> Nullable<Text>,
        error_code -> Nullable<Text>,
        error_message -> Nullable<Text>,
    }
}

diesel::table! {
    missed_deliveries (guid) {
        guid -> Text,
        delivery_id -> BigInt,
        event -> Text,
        delivered_at -> Text,
        failures -> Integer,
    }
}

diesel::table! {
    vanished (mirror_id) {
        mirror_id -> Text,
        at -> Text,
        state -> Text,
        whose -> Nullable<Text>,
    }
}

diesel::table! {
    notified (subject) {
        subject -> Text,
        condition -> Text,
    }
}

diesel::table! {
    notices (id) {
        id -> Text,
        channel -> Text,
        body -> Text,
        created_at -> Text,
        next_at -> Text,
        attempts -> Integer,
    }
}

diesel::joinable!(upstreams -> mirrors (mirror_id));
diesel::joinable!(parts -> mirrors (mirror_id));
diesel::joinable!(lookouts -> mirrors (mirror_id));
diesel::allow_tables_to_appear_in_same_query!(mirrors, upstreams, parts, jobs, lookouts);
diesel::allow_tables_to_appear_in_same_query!(star_lists, star_listed);
