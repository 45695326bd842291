//! A condition and what it says of a message, in three-valued logic.
//!
//! Operands are looked at in RocketMQ's order, and only as far as RocketMQ does: one that cannot
//! be compared ends the whole evaluation, so it matters which are reached.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::codec::PropertyIter;

/// Part of a condition. Chains of AND and OR are one node, so that depth means nesting.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Property(Box<str>),
    Text(Box<str>),
    /// An integer of at most 32 bits; what is compared with it must fit too.
    Int(i32),
    Long(i64),
    Double(f64),
    Bool(bool),
    Null,
    Negative(Box<Node>),
    Not(Box<Node>),
    /// A property where a condition should be: no text is true, so it is false or unknown.
    Truth(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Equal(Box<[Node; 2]>),
    IsNull(Box<Node>),
    Order(Order, Box<[Node; 2]>),
    /// A value and its bounds.
    Between(Form, Box<[Node; 3]>),
    /// A value that is text, and text that is part of it.
    Part(Form, Place, Box<Node>, Box<str>),
    /// A property and its values, in ascending order.
    In(Form, Box<str>, Box<[Box<str>]>),
}

/// Whether NOT stands before the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    Negated,
}

/// How two numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// Where in a value the text is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Anywhere,
    Start,
    End,
}

/// Two values cannot be compared: the message is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Incomparable;

type Evaluated<T> = Result<T, Incomparable>;

#[derive(Debug, Clone, PartialEq)]
enum Value<'v> {
    /// Unknown.
    Null,
    Bool(bool),
    Int(i32),
    Long(i64),
    Double(f64),
    Text(Cow<'v, str>),
}

impl Node {
    /// Whether the condition is true of a message.
    pub(super) fn wants(&self, properties: &PropertyIter<'_>) -> bool {
        self.truth(properties) == Ok(Some(true))
    }

    /// Whether this is a condition by its form, not only a value.
    pub(super) fn is_condition(&self) -> bool {
        !matches!(
            self,
            Node::Property(_)
                | Node::Text(_)
                | Node::Int(_)
                | Node::Long(_)
                | Node::Double(_)
                | Node::Negative(_)
        )
    }

    /// Whether this is a value that stands in the expression itself.
    pub(super) fn is_constant(&self) -> bool {
        matches!(self, Node::Text(_) | Node::Bool(_) | Node::Null) || self.is_number()
    }

    /// Whether this is a number that stands in the expression itself, without a sign before it.
    pub(super) fn is_number(&self) -> bool {
        matches!(self, Node::Int(_) | Node::Long(_) | Node::Double(_))
    }

    /// What the condition says of a message: true, false, or nothing, since a part is unknown.
    pub(super) fn truth(&self, properties: &PropertyIter<'_>) -> Evaluated<Option<bool>> {
        match self.value(properties)? {
            Value::Bool(truth) => Ok(Some(truth)),
            _ => Ok(None),
        }
    }

    fn value<'v>(&'v self, properties: &PropertyIter<'v>) -> Evaluated<Value<'v>> {
        let truth = match self {
            Node::Property(name) => return Ok(property(name, properties)),
            Node::Text(text) => return Ok(Value::Text(Cow::Borrowed(text))),
            Node::Int(number) => return Ok(Value::Int(*number)),
            Node::Long(number) => return Ok(Value::Long(*number)),
            Node::Double(number) => return Ok(Value::Double(*number)),
            Node::Negative(node) => return Ok(node.value(properties)?.negative()),
            Node::Null => None,
            Node::Bool(truth) => Some(*truth),
            Node::Not(node) => node.truth(properties)?.map(|truth| !truth),
            Node::Truth(node) => match node.value(properties)? {
                Value::Null => None,
                value => Some(value == Value::Bool(true)),
            },
            Node::And(nodes) => all_but(false, nodes, properties)?,
            Node::Or(nodes) => all_but(true, nodes, properties)?,
            Node::Equal(sides) => {
                let [left, right] = sides.as_ref();
                equal(&left.value(properties)?, &right.value(properties)?)?
            }
            Node::IsNull(node) => Some(node.value(properties)? == Value::Null),
            Node::Order(order, sides) => {
                let [left, right] = sides.as_ref();
                order.holds(&left.value(properties)?, right, properties)?
            }
            Node::Between(form, nodes) => between(*form, nodes, properties)?,
            Node::Part(form, place, node, part) => Some(
                // Without text to look for, or in it, both forms are false.
                !part.is_empty()
                    && match node.value(properties)? {
                        Value::Text(text) => place.holds(&text, part) == (*form == Form::Plain),
                        _ => false,
                    },
            ),
            Node::In(form, name, values) => match property(name, properties) {
                Value::Text(found) => {
                    let is_in = values.binary_search_by(|value| (**value).cmp(&*found)).is_ok();
                    Some(is_in == (*form == Form::Plain))
                }
                _ => None,
            },
        };
        Ok(truth.map_or(Value::Null, Value::Bool))
    }
}

fn property<'v>(name: &str, properties: &PropertyIter<'v>) -> Value<'v> {
    let found = properties.clone().find(name);
    found.map_or(Value::Null, |value| Value::Text(String::from_utf8_lossy(value)))
}

/// AND, which one false side decides, and OR, which one true side decides.
fn all_but(
    deciding: bool,
    nodes: &[Node],
    properties: &PropertyIter<'_>,
) -> Evaluated<Option<bool>> {
    let mut all = Some(!deciding);
    for node in nodes {
        match node.truth(properties)? {
            None => all = None,
            Some(truth) if truth == deciding => return Ok(Some(deciding)),
            Some(_) => {}
        }
    }
    Ok(all)
}

/// `low <= value AND value <= high`, or `value < low OR value > high`.
fn between(
    form: Form,
    nodes: &[Node; 3],
    properties: &PropertyIter<'_>,
) -> Evaluated<Option<bool>> {
    let [value, low, high] = nodes;
    let (deciding, against_low, against_high) = match form {
        Form::Plain => (false, Order::GreaterOrEqual, Order::LessOrEqual),
        Form::Negated => (true, Order::Less, Order::Greater),
    };
    let value = value.value(properties)?;
    let first = against_low.holds(&value, low, properties)?;
    if first == Some(deciding) {
        return Ok(first);
    }
    let second = against_high.holds(&value, high, properties)?;
    Ok(if second == Some(deciding) { second } else { first.and(second) })
}

/// Equality is unknown only if the left side is; a right side that is missing is not equal to
/// something, but equal to a left side that is missing too.
fn equal(left: &Value<'_>, right: &Value<'_>) -> Evaluated<Option<bool>> {
    match (left, right) {
        (Value::Null, Value::Null) => Ok(Some(true)),
        (Value::Null, _) => Ok(None),
        (_, Value::Null) => Ok(Some(false)),
        _ => Ok(Some(compare(left, right)? == Some(Ordering::Equal))),
    }
}

impl Order {
    fn holds<'v>(
        self,
        left: &Value<'v>,
        right: &'v Node,
        properties: &PropertyIter<'v>,
    ) -> Evaluated<Option<bool>> {
        if *left == Value::Null {
            return Ok(None);
        }
        let ordering = match (left, &right.value(properties)?) {
            (_, Value::Null) => return Ok(None),
            (Value::Text(left), Value::Text(right)) => {
                Some(compare_doubles(double(left)?, double(right)?))
            }
            (left, right) => compare(left, right)?,
        };
        Ok(Some(ordering.is_some_and(|ordering| match self {
            Order::Greater => ordering.is_gt(),
            Order::GreaterOrEqual => ordering.is_ge(),
            Order::Less => ordering.is_lt(),
            Order::LessOrEqual => ordering.is_le(),
        })))
    }
}

impl Place {
    fn holds(self, text: &str, part: &str) -> bool {
        match self {
            Place::Anywhere => memchr::memmem::find(text.as_bytes(), part.as_bytes()).is_some(),
            Place::Start => text.starts_with(part),
            Place::End => text.ends_with(part),
        }
    }
}

impl Value<'_> {
    fn negative(self) -> Self {
        match self {
            Value::Int(number) => Value::Int(number.wrapping_neg()),
            Value::Long(number) => Value::Long(number.wrapping_neg()),
            Value::Double(number) => Value::Double(-number),
            Value::Null | Value::Bool(_) | Value::Text(_) => Value::Null,
        }
    }
}

/// Whether the bounds of BETWEEN are in order, as far as both are numbers in the expression.
pub(super) fn bounds_ascend(low: &Node, high: &Node) -> bool {
    let constant = |node: &Node| match node {
        Node::Int(number) => Value::Int(*number),
        Node::Long(number) => Value::Long(*number),
        Node::Double(number) => Value::Double(*number),
        _ => Value::Null,
    };
    let ordering = compare(&constant(low), &constant(high));
    !matches!(ordering, Ok(Some(Ordering::Greater)))
}

/// The order of two values that are known, after text was read as what it is compared with; none
/// for a number and a truth value, which are different.
#[expect(clippy::cast_precision_loss, reason = "a 64-bit integer meets a double as a double")]
fn compare(left: &Value<'_>, right: &Value<'_>) -> Evaluated<Option<Ordering>> {
    use Value::{Bool, Double, Int, Long, Text};
    let ordering = match (left, right) {
        (Text(left), Text(right)) => left.cmp(right),
        (Text(left), Int(right)) => int(left)?.cmp(right),
        (Text(left), Long(right)) => long(left)?.cmp(right),
        (Text(left), Double(right)) => compare_doubles(double(left)?, *right),
        (Text(left), Bool(right)) => left.eq_ignore_ascii_case("true").cmp(right),
        (Int(left), Text(right)) => left.cmp(&int(right)?),
        (Long(left), Text(right)) => left.cmp(&long(right)?),
        (Double(left), Text(right)) => compare_doubles(*left, double(right)?),
        // RocketMQ reads text as a truth value only on the left.
        (Bool(_), Text(_)) => return Err(Incomparable),
        (Bool(left), Bool(right)) => left.cmp(right),
        (Int(left), Int(right)) => left.cmp(right),
        (Int(left), Long(right)) => i64::from(*left).cmp(right),
        (Long(left), Int(right)) => left.cmp(&i64::from(*right)),
        (Long(left), Long(right)) => left.cmp(right),
        (Int(left), Double(right)) => compare_doubles(f64::from(*left), *right),
        (Double(left), Int(right)) => compare_doubles(*left, f64::from(*right)),
        (Long(left), Double(right)) => compare_doubles(*left as f64, *right),
        (Double(left), Long(right)) => compare_doubles(*left, *right as f64),
        (Double(left), Double(right)) => compare_doubles(*left, *right),
        (Value::Null, _) | (_, Value::Null) | (Bool(_), _) | (_, Bool(_)) => return Ok(None),
    };
    Ok(Some(ordering))
}

/// Java's order: -0.0 before 0.0, and every NaN equal and behind infinity.
fn compare_doubles(left: f64, right: f64) -> Ordering {
    let one_nan = |number: f64| if number.is_nan() { f64::NAN.abs() } else { number };
    one_nan(left).total_cmp(&one_nan(right))
}

fn int(text: &str) -> Evaluated<i32> {
    text.parse().map_err(|_| Incomparable)
}

fn long(text: &str) -> Evaluated<i64> {
    text.parse().map_err(|_| Incomparable)
}

/// Java's `Double.valueOf`: white space around is passed over, one of `fFdD` may stand at the end,
/// and of words only `NaN` and `Infinity` are known.
fn double(text: &str) -> Evaluated<f64> {
    let text = text.trim_matches(|character| character <= ' ');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let number = if matches!(unsigned, "NaN" | "Infinity") {
        text
    } else {
        let number = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
        let plain = |byte: u8| byte.is_ascii_digit() || b".eE+-".contains(&byte);
        if !number.bytes().all(plain) {
            return Err(Incomparable);
        }
        number
    };
    number.parse().map_err(|_| Incomparable)
}
