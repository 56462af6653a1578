//! The tables that only the API uses.

diesel::table! {
    events (id) {
        id -> BigInt,
        at -> Text,
        mirror_id -> Text,
        stage -> Text,
        bytes -> BigInt,
    }
}

diesel::table! {
    keyed_calls (id) {
        id -> Text,
        digest -> Text,
        holder -> Text,
        held_until -> Text,
        created_at -> Text,
        status -> Nullable<Integer>,
        content_type -> Nullable<Text>,
        location -> Nullable<Text>,
        body -> Nullable<Text>,
    }
}

diesel::table! {
    invitations (id) {
        id -> Text,
        expires_at -> Text,
    }
}

diesel::table! {
    sessions (id) {
        id -> Text,
        actor -> Text,
        scopes -> Text,
        key_id -> Nullable<Text>,
        token_seal -> Nullable<Text>,
        ends_at -> Nullable<Text>,
        created_at -> Text,
        expires_at -> Text,
    }
}
