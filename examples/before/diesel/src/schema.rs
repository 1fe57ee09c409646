//! The tables, as diesel knows them: those of schema.sql.

diesel::table! {
    items (id) {
        id -> BigInt,
        name -> Text,
        stock -> Integer,
    }
}

diesel::table! {
    orders (id) {
        id -> BigInt,
        item -> BigInt,
        count -> Integer,
    }
}
