//! Regimen, a declarative workflow engine for training reasoning models.
//!
//! Text flows down once: text, Ast, [`lang::Program`], [`plan::Plan`], [`schedule::Schedule`], events, screen. Folders are
//! floors, and no import climbs:
//!
//! ```text
//!                 main - cli - report - run - schedule - plan
//!    workshop:  stages                      reading room:  lang
//!               model  data   reward   store               syntax
//!                              base
//! ```

pub mod base;
pub mod cli;
pub mod data;
pub mod lang;
pub mod merge;
pub mod model;
pub mod plan;
pub mod report;
pub mod reward;
pub mod run;
pub mod schedule;
pub mod stages;
pub mod store;
pub mod syntax;
