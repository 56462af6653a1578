//! The tables of catalogs: issues, releases and what else git does not carry.

diesel::table! {
    catalogs (mirror_id) {
        mirror_id -> Text,
        generation -> BigInt,
        round_open -> Bool,
        sweeping -> Bool,
        swept_at -> Nullable<Text>,
        looked_at -> Nullable<Text>,
        next_at -> Nullable<Text>,
        ref_name -> Nullable<Text>,
        tip -> Nullable<Text>,
        tree -> Nullable<Text>,
        intent -> Nullable<Text>,
        intent_tree -> Nullable<Text>,
        commits -> BigInt,
        changed_at -> Nullable<Text>,
        error_code -> Nullable<Text>,
        error_message -> Nullable<Text>,
        error_since -> Nullable<Text>,
    }
}

diesel::table! {
    catalog_feeds (mirror_id, feed) {
        mirror_id -> Text,
        feed -> Text,
        wanted -> Bool,
        sweeping -> Bool,
        since -> Nullable<Text>,
        latest -> Nullable<Text>,
        page -> Integer,
        paged -> Bool,
        etag -> Nullable<Text>,
        etag_of -> Nullable<Text>,
        done_at -> Nullable<Text>,
        problem -> Nullable<Text>,
    }
}

diesel::table! {
    catalog_items (mirror_id, kind, id) {
        mirror_id -> Text,
        kind -> Text,
        id -> BigInt,
        number -> BigInt,
        oid -> Text,
        published -> Nullable<Text>,
        generation -> BigInt,
        missed -> Bool,
        body -> Binary,
    }
}

diesel::table! {
    catalog_assets (mirror_id, kind, id, key) {
        mirror_id -> Text,
        kind -> Text,
        id -> BigInt,
        key -> Text,
        number -> BigInt,
        name -> Text,
        url -> Text,
        size -> Nullable<BigInt>,
        digest -> Nullable<Text>,
        is_there -> Bool,
        attempts -> Integer,
        next_at -> Nullable<Text>,
        reason -> Nullable<Text>,
    }
}

diesel::table! {
    catalog_todo (mirror_id, what, number) {
        mirror_id -> Text,
        what -> Text,
        number -> BigInt,
    }
}

diesel::table! {
    catalog_commits (mirror_id, at) {
        mirror_id -> Text,
        at -> Text,
        oid -> Text,
    }
}

diesel::table! {
    catalog_entries (mirror_id, folder, name) {
        mirror_id -> Text,
        folder -> Text,
        name -> Text,
        is_tree -> Bool,
        oid -> Text,
    }
}
