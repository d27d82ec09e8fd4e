//! A recursive descent over the words: `sum = product (± product)*`, `product = signed (×÷ signed)*`, `signed = -signed |
//! atom`, `atom = number | duration | name | name(sum, …) | (sum)`.
//!
//! Two bounds hold the stack: how deep the parser is within itself, and how deep the tree gets (a long `a + a + a …` nests
//! in the tree and not in the parser).

use super::token::{Token, Tokens};
use super::{Ast, AstKind, ExpressionError, Operator};

/// For the parser's own nesting and for the tree's depth.
const DEEPEST: usize = 100;

/// Reads a whole expression.
pub(crate) fn parse(text: &str) -> Result<Ast, ExpressionError> {
    let mut tokens = Tokens::new(text);
    let (at, token) = tokens.next()?;
    let mut parser = Parser { tokens, at, token, nested: 0 };
    let ast = parser.sum()?;
    match parser.token {
        Token::End => Ok(ast),
        _ => Err(parser.unexpected("an operator or the end")),
    }
}

struct Parser<'a> {
    tokens: Tokens<'a>,
    /// The word that is looked at, and where it stands.
    at: usize,
    token: Token<'a>,
    nested: usize,
}

impl<'a> Parser<'a> {
    fn sum(&mut self) -> Result<Ast, ExpressionError> {
        let mut left = self.product()?;
        loop {
            let operator = match self.token {
                Token::Sign('+') => Operator::Add,
                Token::Sign('-') => Operator::Subtract,
                _ => return Ok(left),
            };
            self.advance()?;
            let right = self.product()?;
            left = binary(operator, left, right)?;
        }
    }

    fn product(&mut self) -> Result<Ast, ExpressionError> {
        let mut left = self.signed()?;
        loop {
            let operator = match self.token {
                Token::Sign('*') => Operator::Multiply,
                Token::Sign('/') => Operator::Divide,
                _ => return Ok(left),
            };
            self.advance()?;
            let right = self.signed()?;
            left = binary(operator, left, right)?;
        }
    }

    fn signed(&mut self) -> Result<Ast, ExpressionError> {
        let at = self.at;
        if self.token != Token::Sign('-') {
            return self.atom();
        }
        self.advance()?;
        let operand = self.within(Self::signed)?;
        let depth = operand.depth;
        node(AstKind::Negate(Box::new(operand)), at, depth)
    }

    fn atom(&mut self) -> Result<Ast, ExpressionError> {
        let (at, token) = (self.at, self.token);
        match token {
            Token::Number(x) => self.leaf(AstKind::Number(x), at),
            Token::Duration(duration) => self.leaf(AstKind::Duration(duration), at),
            Token::Name(name) => {
                self.advance()?;
                if self.token == Token::Sign('(') {
                    self.call(name, at)
                } else {
                    node(AstKind::Name(name.to_owned()), at, 0)
                }
            }
            Token::Sign('(') => {
                self.advance()?;
                let inner = self.within(Self::sum)?;
                self.close("`)` or an operator")?;
                Ok(inner)
            }
            Token::Sign(_) | Token::End => Err(self.unexpected("a number, a name or `(`")),
        }
    }

    fn call(&mut self, function: &'a str, at: usize) -> Result<Ast, ExpressionError> {
        self.advance()?;
        let mut arguments = Vec::new();
        while self.token != Token::Sign(')') {
            arguments.push(self.within(Self::sum)?);
            if self.token != Token::Sign(',') {
                break;
            }
            self.advance()?;
        }
        self.close("`,`, `)` or an operator")?;
        let deepest = arguments.iter().map(|argument| argument.depth).max().unwrap_or(0);
        node(AstKind::Call { function: function.to_owned(), arguments }, at, deepest)
    }

    fn leaf(&mut self, kind: AstKind, at: usize) -> Result<Ast, ExpressionError> {
        self.advance()?;
        node(kind, at, 0)
    }

    fn within(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Ast, ExpressionError>,
    ) -> Result<Ast, ExpressionError> {
        if self.nested == DEEPEST {
            return Err(ExpressionError::TooDeep { at: self.at, limit: DEEPEST });
        }
        self.nested += 1;
        let ast = read(self)?;
        self.nested -= 1;
        Ok(ast)
    }

    fn close(&mut self, expected: &'static str) -> Result<(), ExpressionError> {
        if self.token == Token::Sign(')') { self.advance() } else { Err(self.unexpected(expected)) }
    }

    fn advance(&mut self) -> Result<(), ExpressionError> {
        (self.at, self.token) = self.tokens.next()?;
        Ok(())
    }

    fn unexpected(&self, expected: &'static str) -> ExpressionError {
        ExpressionError::Unexpected { at: self.at, expected, got: self.token.shown() }
    }
}

fn binary(operator: Operator, left: Ast, right: Ast) -> Result<Ast, ExpressionError> {
    let (at, deepest) = (left.at, left.depth.max(right.depth));
    node(AstKind::Binary { operator, left: Box::new(left), right: Box::new(right) }, at, deepest)
}

fn node(kind: AstKind, at: usize, deepest: usize) -> Result<Ast, ExpressionError> {
    if deepest == DEEPEST {
        return Err(ExpressionError::TooDeep { at, limit: DEEPEST });
    }
    Ok(Ast { kind, at, depth: deepest + 1 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The tree, fully parenthesised.
    fn shown(ast: &Ast) -> String {
        match &ast.kind {
            AstKind::Number(x) => x.to_string(),
            AstKind::Duration(duration) => crate::duration::format(*duration),
            AstKind::Name(name) => name.clone(),
            AstKind::Negate(x) => format!("(-{})", shown(x)),
            AstKind::Binary { operator, left, right } => {
                let sign = match operator {
                    Operator::Add => '+',
                    Operator::Subtract => '-',
                    Operator::Multiply => '*',
                    Operator::Divide => '/',
                };
                format!("({}{sign}{})", shown(left), shown(right))
            }
            AstKind::Call { function, arguments } => {
                format!("{function}[{}]", arguments.iter().map(shown).collect::<Vec<_>>().join(" "))
            }
        }
    }

    fn check(text: &str, expected: &str) {
        let got = parse(text).map_or_else(|error| error.to_string(), |ast| shown(&ast));
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn operators_bind_as_in_arithmetic() {
        check("a + b * c - d", "((a+(b*c))-d)");
        check("a / b / c", "((a/b)/c)");
        check("-a * -(b - 1)", "((-a)*(-(b-1)))");
        check("close / rolling_mean(close, 7) - 1", "((close/rolling_mean[close 7])-1)");
        check("f(s.x, 1d, g())", "f[s.x 1d g[]]");
    }

    #[test]
    fn mistakes_tell_where_and_what_was_expected() {
        check("", "at character 1: expected a number, a name or `(`, got the end");
        check("a b", "at character 3: expected an operator or the end, got `b`");
        check("(a", "at character 3: expected `)` or an operator, got the end");
        check("f(a b)", "at character 5: expected `,`, `)` or an operator, got `b`");
        check("f(a,, b)", "at character 5: expected a number, a name or `(`, got `,`");
        check("a ** 2", "at character 4: expected a number, a name or `(`, got `*`");
        check("2(3)", "at character 2: expected an operator or the end, got `(`");
    }

    #[test]
    fn hostile_nesting_is_refused_before_the_stack_is_at_risk() {
        for text in ["(".repeat(4000), "-".repeat(4000), "f(".repeat(2000), "1+".repeat(2000) + "1"] {
            assert!(
                matches!(parse(&text), Err(ExpressionError::TooDeep { limit: 100, .. })),
                "{}",
                &text[..4]
            );
        }
        assert!(parse(&("1+".repeat(99) + "1")).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}|[a-z0-9.,()+*/ -]{0,60}") {
            match parse(&text) {
                Ok(ast) => prop_assert!(ast.depth <= DEEPEST),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }
}
