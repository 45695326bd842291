//! From the text of an SQL92 condition to its nodes, with RocketMQ's grammar and its checks.
//!
//! Operators bind in this order, tightest first: signs and NOT; comparisons by order, BETWEEN, IN
//! and the text operators; `=`, `<>` and IS; AND; OR. Each chains to the left.

use super::evaluate::{Form, Node, Order, Place, bounds_ascend};
use super::lexer::{Kind, Lexer, Token, refusal};
use crate::error::{Error, Result};

/// How deep the parts of a condition may be nested: parentheses, signs, NOT and chained operators.
/// Keeps the stack small, here and wherever the nodes are walked.
pub(super) const MAX_DEPTH: usize = 64;

const VALUE: &str = "a property or a value";
const NUMBER: &str = "a number or a property";
const CONDITION: &str = "a condition";

/// A node, how deep its own parts are nested, and the first word of it.
struct Part<'a> {
    node: Node,
    depth: usize,
    first: Token<'a>,
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    next: Token<'a>,
    depth: usize,
}

/// Reads a whole expression.
pub(super) fn parse(expression: &str) -> Result<Node> {
    let mut lexer = Lexer::new(expression);
    let next = lexer.word()?;
    let mut parser = Parser { lexer, next, depth: 0 };
    let part = parser.any_of()?;
    if parser.next.kind != Kind::End {
        return Err(parser.next.refuse("AND, OR or the end"));
    }
    Ok(part.condition()?.node)
}

impl Part<'_> {
    /// This part where a condition must stand. Only a property becomes one.
    fn condition(self) -> Result<Self> {
        match self.node {
            Node::Property(_) => self.wrap(|node| Node::Truth(Box::new(node))),
            _ if self.node.is_condition() => Ok(self),
            _ => Err(self.first.refuse(CONDITION)),
        }
    }

    /// Refuses this part as a side of a comparison by order unless it can be a number.
    fn check_number(&self) -> Result<()> {
        if self.node.is_condition() || matches!(self.node, Node::Text(_)) {
            return Err(self.first.refuse(NUMBER));
        }
        Ok(())
    }

    fn check_not_null(&self) -> Result<()> {
        match self.node {
            Node::Null => Err(self.first.refuse("a property or a value other than NULL")),
            _ => Ok(()),
        }
    }

    /// Puts a node above this part's.
    fn wrap(self, make: impl FnOnce(Node) -> Node) -> Result<Self> {
        let depth = deeper(self.depth, &self.first)?;
        Ok(Self { node: make(self.node), depth, first: self.first })
    }

    /// Puts a node above this part's and another's.
    fn join(self, other: Self, make: impl FnOnce(Box<[Node; 2]>) -> Node) -> Result<Self> {
        let depth = deeper(self.depth.max(other.depth), &self.first)?;
        Ok(Self { node: make(Box::new([self.node, other.node])), depth, first: self.first })
    }
}

fn deeper(depth: usize, at: &Token<'_>) -> Result<usize> {
    if depth < MAX_DEPTH {
        return Ok(depth + 1);
    }
    Err(at.refuse(&format!("at most {MAX_DEPTH} nested parts")))
}

impl<'a> Parser<'a> {
    fn take(&mut self) -> Result<Token<'a>> {
        let next = self.lexer.word()?;
        Ok(std::mem::replace(&mut self.next, next))
    }

    fn take_if(&mut self, kind: Kind) -> Result<bool> {
        let is_next = self.next.kind == kind;
        if is_next {
            self.take()?;
        }
        Ok(is_next)
    }

    fn expect(&mut self, kind: Kind, expected: &str) -> Result<Token<'a>> {
        if self.next.kind == kind {
            return self.take();
        }
        Err(self.next.refuse(expected))
    }

    fn any_of(&mut self) -> Result<Part<'a>> {
        let first = self.all_of()?;
        self.chain(Kind::Or, first, Self::all_of, Node::Or)
    }

    fn all_of(&mut self) -> Result<Part<'a>> {
        let first = self.equality()?;
        self.chain(Kind::And, first, Self::equality, Node::And)
    }

    /// `first` alone, or the node made of all conditions between which the operator stands.
    fn chain(
        &mut self,
        operator: Kind,
        first: Part<'a>,
        operand: fn(&mut Self) -> Result<Part<'a>>,
        make: fn(Vec<Node>) -> Node,
    ) -> Result<Part<'a>> {
        if self.next.kind != operator {
            return Ok(first);
        }
        let Part { node, mut depth, first } = first.condition()?;
        let mut nodes = vec![node];
        while self.take_if(operator)? {
            let part = operand(self)?.condition()?;
            depth = depth.max(part.depth);
            nodes.push(part.node);
        }
        Ok(Part { node: make(nodes), depth: deeper(depth, &first)?, first })
    }

    fn equality(&mut self) -> Result<Part<'a>> {
        let mut left = self.comparison()?;
        loop {
            left = match self.next.kind {
                Kind::Equal => self.equal(left)?,
                Kind::NotEqual => self.equal(left)?.wrap(|node| Node::Not(Box::new(node)))?,
                Kind::Is => {
                    self.take()?;
                    let negated = self.take_if(Kind::Not)?;
                    self.expect(Kind::Null, if negated { "NULL" } else { "NULL or NOT NULL" })?;
                    let is_null = left.wrap(|node| Node::IsNull(Box::new(node)))?;
                    if negated { is_null.wrap(|node| Node::Not(Box::new(node)))? } else { is_null }
                }
                _ => return Ok(left),
            };
        }
    }

    fn equal(&mut self, left: Part<'a>) -> Result<Part<'a>> {
        self.take()?;
        let right = self.comparison()?;
        left.check_not_null()?;
        right.check_not_null()?;
        let (one, other) = (&left.node, &right.node);
        let constant_truth = matches!(one, Node::Bool(_)) && other.is_constant();
        if constant_truth && !matches!(other, Node::Bool(_)) {
            return Err(right.first.refuse("TRUE, FALSE or a property"));
        }
        left.join(right, Node::Equal)
    }

    fn comparison(&mut self) -> Result<Part<'a>> {
        let mut left = self.unary()?;
        loop {
            left = match self.next.kind {
                Kind::Greater => self.order(Order::Greater, left)?,
                Kind::GreaterOrEqual => self.order(Order::GreaterOrEqual, left)?,
                Kind::Less => self.order(Order::Less, left)?,
                Kind::LessOrEqual => self.order(Order::LessOrEqual, left)?,
                Kind::Not => {
                    self.take()?;
                    let expected = "BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH";
                    let refusal = self.next.refuse(expected);
                    self.worded(Form::Negated, left)?.map_err(|_| refusal)?
                }
                _ => match self.worded(Form::Plain, left)? {
                    Ok(part) => part,
                    Err(left) => return Ok(left),
                },
            };
        }
    }

    fn order(&mut self, order: Order, left: Part<'a>) -> Result<Part<'a>> {
        self.take()?;
        left.check_number()?;
        let right = self.unary()?;
        right.check_number()?;
        left.join(right, |sides| Node::Order(order, sides))
    }

    /// The operators that are words and may have NOT before them; `left` again if none is next.
    fn worded(
        &mut self,
        form: Form,
        left: Part<'a>,
    ) -> Result<std::result::Result<Part<'a>, Part<'a>>> {
        let place = match self.next.kind {
            Kind::Between => return self.between(form, left).map(Ok),
            Kind::In => return self.is_in(form, left).map(Ok),
            Kind::Contains => Place::Anywhere,
            Kind::StartsWith => Place::Start,
            Kind::EndsWith => Place::End,
            _ => return Ok(Err(left)),
        };
        self.take()?;
        let part = self.text()?;
        left.wrap(|node| Node::Part(form, place, Box::new(node), part)).map(Ok)
    }

    fn between(&mut self, form: Form, value: Part<'a>) -> Result<Part<'a>> {
        self.take()?;
        value.check_number()?;
        let low = self.unary()?;
        low.check_number()?;
        self.expect(Kind::And, "AND and the upper bound")?;
        let high = self.unary()?;
        high.check_number()?;
        if form == Form::Plain && !bounds_ascend(&low.node, &high.node) {
            let expected = format!("an upper bound of at least {}", low.first.text);
            return Err(high.first.refuse(&expected));
        }
        let depth = value.depth.max(low.depth).max(high.depth);
        let nodes = Box::new([value.node, low.node, high.node]);
        let depth = deeper(depth, &value.first)?;
        Ok(Part { node: Node::Between(form, nodes), depth, first: value.first })
    }

    fn is_in(&mut self, form: Form, left: Part<'a>) -> Result<Part<'a>> {
        self.take()?;
        let Node::Property(name) = left.node else {
            return Err(left.first.refuse("a property before IN"));
        };
        self.expect(Kind::Open, "( and the values")?;
        let mut values = vec![self.text()?];
        while self.take_if(Kind::Comma)? {
            values.push(self.text()?);
        }
        self.expect(Kind::Close, "a comma or )")?;
        values.sort_unstable();
        values.dedup();
        Ok(Part { node: Node::In(form, name, values.into()), ..left })
    }

    fn unary(&mut self) -> Result<Part<'a>> {
        let outer = self.depth;
        self.depth = deeper(outer, &self.next)?;
        let first = self.next;
        let part = match first.kind {
            Kind::Plus => {
                self.take()?;
                self.unary()?
            }
            Kind::Minus => {
                self.take()?;
                self.unary()?.wrap(|node| Node::Negative(Box::new(node)))?
            }
            Kind::Not => {
                self.take()?;
                self.unary()?.condition()?.wrap(|node| Node::Not(Box::new(node)))?
            }
            Kind::Open => {
                self.take()?;
                let inner = self.any_of()?;
                self.expect(Kind::Close, "an operator or )")?;
                inner
            }
            _ => self.operand()?,
        };
        self.depth = outer;
        Ok(Part { first, ..part })
    }

    fn operand(&mut self) -> Result<Part<'a>> {
        let first = self.next;
        let node = match first.kind {
            Kind::Text => Node::Text(self.text()?),
            Kind::Name => Node::Property(Box::from(first.text)),
            Kind::Integer => integer(&first)?,
            Kind::Decimal => decimal(&first)?,
            Kind::True => Node::Bool(true),
            Kind::False => Node::Bool(false),
            Kind::Null => Node::Null,
            _ => return Err(first.refuse(VALUE)),
        };
        if first.kind != Kind::Text {
            self.take()?;
        }
        Ok(Part { node, depth: 0, first })
    }

    /// The text of a string, without its quotes.
    fn text(&mut self) -> Result<Box<str>> {
        let token = self.expect(Kind::Text, "a string")?;
        let quoted = token.text.get(1..token.text.len() - 1).unwrap_or_default();
        Ok(quoted.replace("''", "'").into())
    }
}

/// An integer: 32 bits if it fits, as that decides which values of a property it is compared with.
fn integer(token: &Token<'_>) -> Result<Node> {
    let digits = token.text.trim_end_matches(['l', 'L']);
    if let Ok(number) = digits.parse() {
        return Ok(Node::Int(number));
    }
    let refused = |_| refusal(token.at, "an integer of at most 9223372036854775807", token.text);
    digits.parse().map(Node::Long).map_err(refused)
}

/// A decimal number. RocketMQ refuses a zero among them, whatever was meant.
fn decimal(token: &Token<'_>) -> Result<Node> {
    let refused = || -> Error { token.refuse("a decimal number above 0 and within a double") };
    let number: f64 = token.text.parse().map_err(|_| refused())?;
    if number > 0.0 && number.is_finite() {
        return Ok(Node::Double(number));
    }
    Err(refused())
}
