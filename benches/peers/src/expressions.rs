//! Expression engines: each rule is one compiled expression, and the first that is true decides. What the expressions read is
//! made of a payment before anything is timed.

use std::cell::RefCell;

use evalexpr::ContextWithMutableVariables;

use crate::Peer;
use crate::workload::{Payment, Rule, Test};

/// How an engine writes what the workload compares.
struct Syntax {
    quote: char,
    /// `fact` is one of these.
    is_one_of: fn(&str, &[String]) -> String,
    /// `fact` begins with this, which isn't quoted.
    begins_with: fn(&str, &str) -> String,
    and: &'static str,
}

impl Syntax {
    fn rule(&self, rule: &Rule) -> String {
        let tests: Vec<String> = rule.0.iter().map(|test| self.test(test)).collect();
        tests.join(self.and)
    }

    fn test(&self, test: &Test) -> String {
        match test {
            Test::Amount(currency, from, to) => {
                let range = self.range("amount", *from, *to);
                format!("{}{}{range}", self.word("currency", [currency.code()]), self.and)
            }
            Test::Currency(all) => self.word("currency", all.iter().map(|one| one.code())),
            Test::Method(all) => self.word("method", all.iter().map(|one| format!("{one:?}"))),
            Test::Network(all) => self.word("card_network", all),
            Test::CardType(one) => self.word("card_type", [format!("{one:?}")]),
            Test::Bin(all) => {
                let prefixes: Vec<String> = all
                    .iter()
                    .map(|prefix| (self.begins_with)("card_bin", prefix))
                    .collect();
                format!(
                    "({})",
                    prefixes.join(if self.and == " and " { " or " } else { " || " })
                )
            }
            Test::IssuerCountry(all) => self.word("card_issuer_country", all),
            Test::PayerCountry(all) => self.word("payer_country", all),
            Test::Mcc(all) => {
                let numbers: Vec<String> = all.iter().map(u16::to_string).collect();
                (self.is_one_of)("mcc", &numbers)
            }
            Test::TimeOfDay(from, to) => self.range("time_of_day", i64::from(*from), i64::from(*to)),
        }
    }

    fn range(&self, fact: &str, from: i64, to: i64) -> String {
        format!("{fact} >= {from}{}{fact} < {to}", self.and)
    }

    fn word<T: ToString>(&self, fact: &str, words: impl IntoIterator<Item = T>) -> String {
        let quoted = |word: T| format!("{0}{1}{0}", self.quote, word.to_string());
        let words: Vec<String> = words.into_iter().map(quoted).collect();
        (self.is_one_of)(fact, &words)
    }
}

/// One value: compared at once, which all of them do faster than to search an array of one.
fn in_array(fact: &str, values: &[String]) -> String {
    match values {
        [one] => format!("{fact} == {one}"),
        many => format!("{fact} in [{}]", many.join(", ")),
    }
}

/// What all of them read of a payment.
enum Read {
    Text(String),
    Number(i64),
}

fn read(payment: &Payment) -> [(&'static str, Read); 10] {
    [
        ("amount", Read::Number(payment.minor)),
        ("currency", Read::Text(payment.currency.code().to_owned())),
        ("method", Read::Text(format!("{:?}", payment.method))),
        ("card_network", Read::Text(payment.network.to_owned())),
        ("card_type", Read::Text(format!("{:?}", payment.card_type))),
        ("card_bin", Read::Text(payment.bin.clone())),
        (
            "card_issuer_country",
            Read::Text(payment.issuer_country.to_string()),
        ),
        ("payer_country", Read::Text(payment.payer_country.to_string())),
        ("mcc", Read::Number(i64::from(payment.mcc))),
        ("time_of_day", Read::Number(i64::from(payment.time_of_day))),
    ]
}

type ZenRule = zen_expression::Expression<zen_expression::expression::Standard>;

pub struct Zen {
    rules: Vec<ZenRule>,
    machine: RefCell<zen_expression::vm::VM>,
}

impl Peer for Zen {
    const NAME: &'static str = "zen-expression";
    type Payment = zen_expression::Scope;

    fn of(rules: &[Rule]) -> Self {
        let syntax = Syntax {
            quote: '\'',
            is_one_of: in_array,
            begins_with: |fact, prefix| format!("startsWith({fact}, '{prefix}')"),
            and: " and ",
        };
        let compiled = rules
            .iter()
            .map(|rule| zen_expression::compile_expression(&syntax.rule(rule)).unwrap());
        Self {
            rules: compiled.collect(),
            machine: RefCell::new(zen_expression::vm::VM::new()),
        }
    }

    fn payment(&self, payment: &Payment) -> Self::Payment {
        let mut facts = serde_json::Map::new();
        for (name, value) in read(payment) {
            let value = match value {
                Read::Text(text) => text.into(),
                Read::Number(number) => number.into(),
            };
            facts.insert(name.to_owned(), value);
        }
        zen_expression::Scope::new(serde_json::Value::Object(facts).into())
    }

    fn first(&self, payment: &Self::Payment) -> Option<usize> {
        let machine = &mut *self.machine.borrow_mut();
        let holds = |rule: &ZenRule| {
            rule.evaluate_with_scope(payment, machine)
                .unwrap()
                .as_bool()
                .unwrap()
        };
        self.rules.iter().position(holds)
    }
}

pub struct Cel(Vec<cel::Program>);

impl Peer for Cel {
    const NAME: &'static str = "cel";
    type Payment = cel::Context<'static, 'static>;

    fn of(rules: &[Rule]) -> Self {
        let syntax = Syntax {
            quote: '\'',
            is_one_of: in_array,
            begins_with: |fact, prefix| format!("{fact}.startsWith('{prefix}')"),
            and: " && ",
        };
        Self(
            rules
                .iter()
                .map(|rule| cel::Program::compile(&syntax.rule(rule)).unwrap())
                .collect(),
        )
    }

    fn payment(&self, payment: &Payment) -> Self::Payment {
        let mut context = cel::Context::default();
        for (name, value) in read(payment) {
            match value {
                Read::Text(text) => context.add_variable_from_value(name, text),
                Read::Number(number) => context.add_variable_from_value(name, number),
            }
        }
        context
    }

    fn first(&self, payment: &Self::Payment) -> Option<usize> {
        self.0
            .iter()
            .position(|rule| rule.execute(payment).unwrap() == cel::Value::Bool(true))
    }
}

pub struct Rhai {
    engine: rhai::Engine,
    rules: Vec<rhai::AST>,
}

impl Peer for Rhai {
    const NAME: &'static str = "rhai";
    type Payment = RefCell<rhai::Scope<'static>>;

    fn of(rules: &[Rule]) -> Self {
        let engine = rhai::Engine::new();
        let syntax = Syntax {
            quote: '"',
            is_one_of: in_array,
            begins_with: |fact, prefix| format!("{fact}.starts_with(\"{prefix}\")"),
            and: " && ",
        };
        let rules = rules
            .iter()
            .map(|rule| engine.compile_expression(syntax.rule(rule)).unwrap())
            .collect();
        Self { engine, rules }
    }

    fn payment(&self, payment: &Payment) -> Self::Payment {
        let mut scope = rhai::Scope::new();
        for (name, value) in read(payment) {
            match value {
                Read::Text(text) => scope.push_constant(name, text),
                Read::Number(number) => scope.push_constant(name, number),
            };
        }
        RefCell::new(scope)
    }

    fn first(&self, payment: &Self::Payment) -> Option<usize> {
        let scope = &mut *payment.borrow_mut();
        let holds = |rule: &rhai::AST| self.engine.eval_ast_with_scope::<bool>(scope, rule).unwrap();
        self.rules.iter().position(holds)
    }
}

pub struct Evalexpr(Vec<evalexpr::Node>);

impl Peer for Evalexpr {
    const NAME: &'static str = "evalexpr";
    type Payment = evalexpr::HashMapContext;

    fn of(rules: &[Rule]) -> Self {
        let syntax = Syntax {
            quote: '"',
            is_one_of: |fact, values| match values {
                [one] => format!("{fact} == {one}"),
                many => format!("contains(({}), {fact})", many.join(", ")),
            },
            begins_with: |fact, prefix| {
                format!("str::substring({fact}, 0, {}) == \"{prefix}\"", prefix.len())
            },
            and: " && ",
        };
        let built = rules
            .iter()
            .map(|rule| evalexpr::build_operator_tree(&syntax.rule(rule)).unwrap());
        Self(built.collect())
    }

    fn payment(&self, payment: &Payment) -> Self::Payment {
        let mut context = evalexpr::HashMapContext::new();
        for (name, value) in read(payment) {
            let value = match value {
                Read::Text(text) => evalexpr::Value::String(text),
                Read::Number(number) => evalexpr::Value::Int(number),
            };
            context.set_value(name.to_owned(), value).unwrap();
        }
        context
    }

    fn first(&self, payment: &Self::Payment) -> Option<usize> {
        self.0
            .iter()
            .position(|rule| rule.eval_boolean_with_context(payment).unwrap())
    }
}
