//! The statements that the group `classify` reads.

use std::fmt::Write as _;

/// One statement of PostgreSQL.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The scenario's name.
    pub scenario: &'static str,
    /// The text.
    pub sql: String,
}

/// A select by primary key.
const PK_SELECT: &str = "SELECT id, name, price FROM item WHERE id = $1;";

/// A report over an order and what belongs to it, as a mapper writes it.
const TEN_JOIN: &str = "\
SELECT o.id, o.created_at, o.total, c.name, c.email, a.street, a.city, p.title, p.price, i.quantity, s.status, \
w.code, r.name, k.label, v.company, v.vat \
FROM orders o \
JOIN customer c ON c.id = o.customer_id \
JOIN address a ON a.id = o.address_id AND a.customer_id = c.id \
JOIN order_item i ON i.order_id = o.id \
JOIN product p ON p.id = i.product_id \
JOIN category k ON k.id = p.category_id \
JOIN vendor v ON v.id = p.vendor_id AND v.active = true \
LEFT JOIN shipment s ON s.order_id = o.id AND s.item_id = i.id \
LEFT JOIN warehouse w ON w.id = s.warehouse_id \
LEFT JOIN region r ON r.id = w.region_id \
WHERE o.created_at >= $1 AND o.created_at < $2 AND c.country = 'DE' AND p.price BETWEEN 10 AND 500 \
AND v.rating > 3.5 \
ORDER BY o.created_at DESC, o.id LIMIT 100";

const INSERT_RETURNING: &str =
    "INSERT INTO orders (customer_id, total, state) VALUES ($1, $2, 'up') RETURNING id, created_at";

const CTE: &str = "\
WITH recent AS (SELECT customer_id, sum(total) AS spent FROM orders WHERE created_at > now() - interval '7 d' \
GROUP BY customer_id) SELECT c.id, c.name, r.spent FROM customer c JOIN recent r ON r.customer_id = c.id \
WHERE r.spent > $1 ORDER BY r.spent DESC LIMIT 5";

const DATA_MODIFYING_CTE: &str = "\
WITH moved AS (DELETE FROM queue WHERE id IN (SELECT id FROM queue LIMIT 10000) RETURNING *) \
INSERT INTO archive SELECT * FROM moved RETURNING id";

const UPDATE: &str = "UPDATE inventory SET stock = stock - $1, sold = $3 WHERE product = $2";

/// A select by a list of keys that fills four kilobytes.
fn in_list() -> String {
    let mut sql = String::from("SELECT id, price FROM item WHERE id IN (100000");
    for key in 1..560 {
        write!(sql, ", {}", 100_000 + key * 7).expect("a string takes any text");
    }
    sql.push(')');
    sql
}

/// The statements of the group, in its order.
#[must_use]
pub fn statements() -> Vec<Statement> {
    let fixed = [
        ("pk-select", PK_SELECT),
        ("ten-join", TEN_JOIN),
        ("insert-returning", INSERT_RETURNING),
        ("cte", CTE),
        ("data-modifying-cte", DATA_MODIFYING_CTE),
    ];
    let statement = |(scenario, sql): (&'static str, &str)| Statement { scenario, sql: sql.to_owned() };
    let mut all = Vec::from(fixed.map(statement));
    all.push(Statement { scenario: "in-list-4k", sql: in_list() });
    all.extend([("update", UPDATE), ("begin", "BEGIN")].map(statement));
    all
}
