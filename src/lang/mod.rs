//! The meaning of a recipe: names, types, units, labels and values. Text in, a program or its mistakes out; no file is read.

mod evaluate;
pub mod figures;
mod foreign;
pub mod imports;
pub mod kinds;
pub mod labels;
pub mod names;
pub mod overrides;
pub mod program;
pub mod signature;
pub mod stdlib;
pub mod types;
mod unused;
pub mod values;

pub use figures::{Condition, Figure, REPORT_FIELDS, StepId};
pub use imports::Imports;
pub use kinds::{Kind, Kinds};
pub use overrides::{Overrides, Param};
pub use program::{Call, Gate, Output, ParamValue, Pin, Program};
pub use types::Type;

use crate::{
    base::{diagnostic::Diagnostics, span::Sources},
    syntax::ast::{File, Item, Test},
};

/// Checks a recipe and says what it asks for. All mistakes are found at once, in the order of the text.
///
/// The program is whole only where there are no errors. The texts of the library and of the overrides are added to the
/// sources, because values and mistakes may stand in them.
pub fn check(sources: &mut Sources, recipe: &File, overrides: &Overrides) -> (Program, Diagnostics) {
    check_with(sources, recipe, &Imports::default(), overrides)
}

/// As [`check`], of a recipe that uses others.
pub fn check_with(
    sources: &mut Sources,
    recipe: &File,
    imports: &Imports,
    overrides: &Overrides,
) -> (Program, Diagnostics) {
    check_one(sources, recipe, imports, overrides, None)
}

/// The program of one test of a recipe that was checked; None where it has no test of that name.
pub fn check_test(
    sources: &mut Sources,
    recipe: &File,
    imports: &Imports,
    overrides: &Overrides,
    name: &str,
) -> Option<(Program, Diagnostics)> {
    let tests = recipe.items.iter().filter_map(|it| if let Item::Test(test) = it { Some(test) } else { None });
    let test = tests.into_iter().find(|it| it.name.text == name)?;
    Some(check_one(sources, recipe, imports, overrides, Some(test)))
}

fn check_one(
    sources: &mut Sources,
    recipe: &File,
    imports: &Imports,
    overrides: &Overrides,
    test: Option<&Test>,
) -> (Program, Diagnostics) {
    let mut diagnostics = stdlib::load(sources);
    let (mut parsed, complaints) = overrides::Parsed::parse(overrides, sources);
    parsed.look_into(imports);
    diagnostics.extend(complaints);
    let (stages, complaints) = names::Stages::collect(recipe, imports);
    diagnostics.extend(complaints);
    let (program, complaints) = evaluate::program(sources, recipe, test, &stages, &parsed);
    diagnostics.extend(complaints);
    // A name that is mistyped where it is used seems to have no use.
    if test.is_none() && !diagnostics.has_errors() {
        diagnostics.extend(unused::unused(recipe));
    }
    (program, diagnostics.sorted())
}
