//! The answers of RocketMQ's own filter, and what no expression may do.

use proptest::num::f64;
use proptest::prelude::*;

use super::evaluate::{Form, Order, Place};
use super::parser::MAX_DEPTH;
use super::*;
use crate::codec::{PropertyIter, java_hash};

/// Answers of RocketMQ 5.3.3; `core/tests/data/README.md` tells how they were taken.
const ANSWERS: &str = include_str!("../../tests/data/sql_filter.json");

/// Properties as a record stores them.
fn encoded(properties: &serde_json::Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in properties.as_object().unwrap() {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(1);
        bytes.extend_from_slice(value.as_str().unwrap().as_bytes());
        bytes.push(2);
    }
    bytes
}

/// True, False, Nothing since a part is unknown, or an Error, which passes the message over.
fn letter(node: &Node, properties: &[u8]) -> char {
    let properties = PropertyIter::new(properties);
    let letter = match node.truth(&properties) {
        Ok(Some(true)) => 'T',
        Ok(Some(false)) => 'F',
        Ok(None) => 'N',
        Err(_) => 'E',
    };
    assert_eq!(node.wants(&properties), letter == 'T');
    letter
}

#[test]
fn conditions_are_answered_as_by_rocketmq() {
    let table: serde_json::Value = serde_json::from_str(ANSWERS).unwrap();
    let sets: Vec<Vec<u8>> = table["properties"].as_array().unwrap().iter().map(encoded).collect();
    let mut different = Vec::new();
    let mut asked = 0;
    for row in table["answers"].as_array().unwrap() {
        let expression = row[0].as_str().unwrap();
        // Text behind a complete condition is refused here; RocketMQ ignores it.
        let stock = if row[2].is_null() { row[1].as_str().unwrap() } else { "illegal" };
        let ours = match parser::parse(expression) {
            Ok(node) => sets.iter().map(|set| letter(&node, set)).collect(),
            Err(_) => "illegal".to_owned(),
        };
        asked += ours.len();
        if ours != stock {
            different.push(format!("{expression:?}: RocketMQ {stock}, here {ours}"));
        }
    }
    assert!(asked > 10_000, "{asked}");
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}

fn illegal(expression: &str) -> String {
    let error = Filter::sql(expression).unwrap_err();
    assert_eq!(error.status(), Status::FilterIllegal);
    error.to_string()
}

#[test]
fn a_refusal_says_where_and_what_was_expected_and_found() {
    let malformed = |at: usize, expected: &str, found: &str| {
        let what = "the filter expression is malformed";
        format!("{what} at {at}: expected {expected}, found {found}")
    };
    let cases = [
        ("", 0, "a property or a value", "its end"),
        ("a = 1 AND", 9, "a property or a value", "its end"),
        ("a = 1 b", 6, "AND, OR or the end", "b"),
        ("a LIKE 'x'", 2, "AND, OR or the end", "LIKE"),
        ("(a = 1", 6, "an operator or )", "its end"),
        ("a IN ('x', 5)", 11, "a string", "5"),
        ("a NOT b", 6, "BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH", "b"),
        ("a > 'x\n'", 4, "a number or a property", "'x '"),
        ("'x", 0, "a string that ends with a quote", "'x"),
        ("a = ?", 4, "a name, a value or an operator", "?"),
        ("5", 0, "a condition", "5"),
        ("TRUE = 1", 7, "TRUE, FALSE or a property", "1"),
        ("a BETWEEN 6 AND 4", 16, "an upper bound of at least 6", "4"),
        ("a IS 5", 5, "NULL or NOT NULL", "5"),
        ("a = 0.0", 4, "a decimal number above 0 and within a double", "0.0"),
        (
            "a = 9223372036854775808",
            4,
            "an integer of at most 9223372036854775807",
            "9223372036854775808",
        ),
    ];
    for (expression, at, expected, found) in cases {
        assert_eq!(illegal(expression), malformed(at, expected, found), "{expression}");
    }
    // What is shown is cut, and never inside a character.
    let long = format!("a = {}", "\u{4e2d}".repeat(90));
    assert!(illegal(&long).ends_with(&format!("found {}", "\u{4e2d}".repeat(13))));
}

#[test]
fn length_and_nesting_are_limited() {
    let longest = format!("a = '{}'", "x".repeat(MAX_EXPRESSION_BYTES - 6));
    Filter::sql(&longest).unwrap();
    for too_long in [longest + " ", "(".repeat(1 << 20), "a OR ".repeat(1 << 18)] {
        assert!(illegal(&too_long).starts_with("the filter expression is too long"));
    }
    assert_eq!(Filter::tags(&"A||".repeat(30_000)).unwrap_err().status(), Status::FilterIllegal);

    // Everything that nests: the deepest that is taken, and one more.
    let nests: [fn(usize) -> String; 8] = [
        |n| "(".repeat(n) + "a" + &")".repeat(n),
        |n| "NOT ".repeat(n) + "a",
        |n| "- ".repeat(n) + "a = 1",
        |n| "+".repeat(n) + "a = 1",
        |n| "a".to_owned() + &" = a".repeat(n),
        |n| "a".to_owned() + &" <> a".repeat(n),
        |n| "a".to_owned() + &" IS NOT NULL".repeat(n),
        |n| "a".to_owned() + &" CONTAINS 'x'".repeat(n),
    ];
    for nest in nests {
        let deepest = (0..=MAX_DEPTH).rev().find(|&n| Filter::sql(&nest(n)).is_ok()).unwrap();
        assert!(deepest >= MAX_DEPTH / 2 - 1, "{}: {deepest}", nest(3));
        let refused = illegal(&nest(MAX_DEPTH + 1));
        assert!(refused.contains("expected at most 64 nested parts"), "{refused}");
        illegal(&nest(4000));
    }
    // Chains of AND and OR are flat, however long.
    let properties = b"a\x019999\x02";
    let chain: Vec<String> = (0..5000).map(|number| format!("a='{number}'")).collect();
    let node = parser::parse(&chain.join(" OR ")).unwrap();
    assert_eq!(letter(&node, properties), 'F');
    assert_eq!(letter(&node, b"a\x014999\x02"), 'T');
}

#[test]
fn a_deep_condition_needs_little_stack() {
    let chained = format!("({} = a)", "a = b".to_owned() + &" = a".repeat(MAX_DEPTH - 4));
    let expression = "(".repeat(MAX_DEPTH - 2) + &chained + &")".repeat(MAX_DEPTH - 2);
    // AddressSanitizer puts room around what is on the stack.
    let kib = if cfg!(cairnlog_address_sanitizer) { 2048 } else { 256 };
    let small = std::thread::Builder::new().stack_size(kib * 1024);
    let answer = small.spawn(move || {
        let filter = Filter::sql(&expression).unwrap();
        let Kind::Sql(node) = &filter.kind else { unreachable!() };
        letter(node, b"a\x01TRUE\x02b\x01TRUE\x02")
    });
    assert_eq!(answer.unwrap().join().unwrap(), 'E');
}

#[test]
fn tags_are_compared_by_code_and_then_by_text() {
    let filter = Filter::tags(" TagA ||\tAa|| || TagA").unwrap();
    assert!(!filter.is_all());
    let Kind::Tags(tags) = &filter.kind else { unreachable!() };
    // "BB" has the code of "Aa": its record is looked at, and passed over.
    for (tag, has_code, wanted) in
        [("TagA", true, true), ("Aa", true, true), ("BB", true, false), ("TagB", false, false)]
    {
        let code = i64::from(java_hash(tag));
        assert_eq!(filter.may_match_tags_code(code), has_code, "{tag}");
        assert_eq!(filter.may_match_tags_code(code ^ (0xbeef << 32)), has_code, "{tag}");
        let properties = format!("x\x01TagA\x02TAGS\x01{tag}\x02");
        assert_eq!(tags.wants(PropertyIter::new(properties.as_bytes())), wanted, "{tag}");
    }
    assert!(!tags.wants(PropertyIter::new(b"x\x01TagA\x02")), "a message without tag");
    let star = Filter::tags("* || A").unwrap();
    assert!(!star.is_all() && !star.may_match_tags_code(i64::from(java_hash("B"))));
    for nothing in [" ", "||", " || \t", "\u{1}"] {
        assert_eq!(Filter::tags(nothing).unwrap_err().status(), Status::FilterIllegal);
    }
}

#[test]
fn all_and_sql_leave_the_queue_unit_to_the_record() {
    for all in [Filter::all(), Filter::default(), Filter::tags("").unwrap()] {
        assert!(all.is_all() && all.may_match_tags_code(7));
        assert_eq!(all.to_string(), "*");
    }
    let sql = Filter::sql("TAGS = 'A'").unwrap();
    assert!(!sql.is_all() && sql.may_match_tags_code(7));
}

#[test]
fn a_value_that_is_no_utf8_is_text_with_replacements() {
    let node = parser::parse("a STARTSWITH 'x' AND a <> 'x' AND a CONTAINS '\u{fffd}'").unwrap();
    assert_eq!(letter(&node, b"a\x01x\xff\x02"), 'T');
    assert_eq!(letter(&parser::parse("a = 5").unwrap(), b"a\x01\xff\x02"), 'E');
}

/// A node as text that is read as this node again.
fn written(node: &Node) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let not = |form: &Form| if *form == Form::Negated { "NOT " } else { "" };
    let chain = |nodes: &[Node], operator: &str| {
        format!("({})", nodes.iter().map(written).collect::<Vec<_>>().join(operator))
    };
    match node {
        Node::Property(name) => name.to_string(),
        Node::Text(text) => quoted(text),
        Node::Int(number) => number.to_string(),
        Node::Long(number) => format!("{number}L"),
        Node::Double(number) => format!("{number:e}"),
        Node::Bool(truth) => truth.to_string(),
        Node::Null => "null".to_owned(),
        Node::Negative(node) => format!("-({})", written(node)),
        Node::Not(node) => format!("not ({})", written(node)),
        Node::Truth(node) => written(node),
        Node::And(nodes) => chain(nodes, " AND "),
        Node::Or(nodes) => chain(nodes, "\tor\n"),
        Node::Equal(sides) => format!("({} = {})", written(&sides[0]), written(&sides[1])),
        Node::IsNull(node) => format!("({} IS NULL)", written(node)),
        Node::Order(order, sides) => {
            let sign = match order {
                Order::Greater => ">",
                Order::GreaterOrEqual => ">=",
                Order::Less => "<",
                Order::LessOrEqual => "<=",
            };
            format!("({} {sign} {})", written(&sides[0]), written(&sides[1]))
        }
        Node::Between(form, nodes) => {
            let [value, low, high] = [&nodes[0], &nodes[1], &nodes[2]].map(written);
            format!("({value} {}BETWEEN {low} AND {high})", not(form))
        }
        Node::Part(form, place, node, part) => {
            let word = match place {
                Place::Anywhere => "CONTAINS",
                Place::Start => "STARTSWITH",
                Place::End => "ENDSWITH",
            };
            format!("({} {}{word} {})", written(node), not(form), quoted(part))
        }
        Node::In(form, name, values) => {
            let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            format!("({name} {}IN ({}))", not(form), values.join(","))
        }
    }
}

/// Numbers, properties and signs before them.
fn numbers() -> impl Strategy<Value = Node> {
    let plain = prop_oneof![
        "[a-z_$]{1,2}[0-9]".prop_map(|name| Node::Property(name.into())),
        (0..=i32::MAX).prop_map(Node::Int),
        (i64::from(i32::MAX) + 1..=i64::MAX).prop_map(Node::Long),
        (f64::POSITIVE | f64::NORMAL | f64::SUBNORMAL).prop_map(Node::Double),
    ];
    (plain, any::<bool>()).prop_map(
        |(node, negative)| {
            if negative { Node::Negative(Box::new(node)) } else { node }
        },
    )
}

fn conditions() -> impl Strategy<Value = Node> {
    let form = || prop_oneof![Just(Form::Plain), Just(Form::Negated)];
    let text = || "[ -~\u{e4}'\n]{0,4}".prop_map(Box::<str>::from);
    let place = prop_oneof![Just(Place::Anywhere), Just(Place::Start), Just(Place::End)];
    let order = prop_oneof![
        Just(Order::Greater),
        Just(Order::GreaterOrEqual),
        Just(Order::Less),
        Just(Order::LessOrEqual),
    ];
    let name = || "[A-Z]{1,2}[0-9]".prop_map(Box::<str>::from);
    let leaf = prop_oneof![
        any::<bool>().prop_map(Node::Bool),
        // Only below NOT, AND and OR is a property a condition.
        name().prop_map(|name| {
            let truth = Node::Truth(Box::new(Node::Property(name)));
            Node::And(vec![truth.clone(), Node::Not(Box::new(truth)), Node::Null])
        }),
        (order, numbers(), numbers())
            .prop_map(|(order, left, right)| Node::Order(order, Box::new([left, right]))),
        (numbers(), text().prop_map(Node::Text))
            .prop_map(|(left, right)| Node::Equal(Box::new([left, right]))),
        // Bounds with a sign are not checked for their order.
        (form(), numbers(), numbers(), numbers()).prop_map(|(form, value, low, high)| {
            let low = Node::Negative(Box::new(low));
            Node::Between(form, Box::new([value, low, high]))
        }),
        (form(), place, numbers(), text()).prop_map(|(form, place, node, part)| Node::Part(
            form,
            place,
            Box::new(node),
            part
        )),
        (form(), name(), prop::collection::btree_set(text(), 1..6))
            .prop_map(|(form, name, values)| Node::In(form, name, values.into_iter().collect())),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|node| Node::Not(Box::new(node))),
            inner.clone().prop_map(|node| Node::IsNull(Box::new(node))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Node::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Node::Or),
            (inner.clone(), inner).prop_map(|(left, right)| Node::Equal(Box::new([left, right]))),
        ]
    })
}

proptest! {
    #[test]
    fn a_condition_is_read_back_from_its_text(node in conditions()) {
        let text = written(&node);
        let filter = Filter::sql(&text).unwrap();
        prop_assert_eq!(filter.to_string(), text);
        let again = Filter::sql(&filter.to_string()).unwrap();
        for read in [filter, again] {
            let Kind::Sql(read) = read.kind else { unreachable!() };
            prop_assert_eq!(&*read, &node);
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>(), properties in any::<Vec<u8>>()) {
        if let Ok(node) = parser::parse(&text) {
            letter(&node, &properties);
        }
        let _ = Filter::tags(&text);
    }

    #[test]
    fn no_words_panic(
        words in prop::collection::vec(
            prop::sample::select(&[
                "a", "b", "5", "5.5", "'x'", "'", "''", "=", "<>", "<", ">=", "AND", "OR",
                "NOT", "(", ")", "IN", "BETWEEN", "IS", "NULL", "TRUE", "-", "--", "\n", "+", ",",
                "CONTAINS", "ENDSWITH", "/*", "*/", "\u{e4}", ".", "e9", "L",
                "9223372036854775807",
            ][..]),
            0..16,
        ),
        separator in prop::sample::select(&["", " "][..]),
    ) {
        let text = words.join(separator);
        if let Ok(node) = parser::parse(&text) {
            letter(&node, b"a\x015\x02b\x01-9223372036854775808\x02");
        }
    }
}
