//! The tables that only the API uses.

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
