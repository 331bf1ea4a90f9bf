//! Values by name, a few of them: what a step has by the name of each argument or port.
//!
//! A plan may have a hundred thousand steps, each with several such lists. A row in the order of the names, whose names
//! are shared among all steps of a stage, takes a tenth of the room of a tree.

use std::{fmt, sync::Arc};

/// A name that many share.
pub type Name = Arc<str>;

/// Values by name, in the order of the names.
#[derive(Clone, PartialEq, Eq)]
pub struct Named<T>(Vec<(Name, T)>);

impl<T> Named<T> {
    /// Sets the value of a name, and gives the one that it had.
    pub fn insert(&mut self, name: impl Into<Name>, value: T) -> Option<T> {
        let name = name.into();
        match self.place(&name) {
            Ok(at) => self.0.get_mut(at).map(|it| std::mem::replace(&mut it.1, value)),
            Err(at) => {
                // Most lists are short, and there are many of them.
                self.0.reserve_exact(1);
                self.0.insert(at, (name, value));
                None
            }
        }
    }

    pub fn remove(&mut self, name: &str) -> Option<T> {
        self.place(name).ok().map(|at| self.0.remove(at).1)
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&T> {
        self.0.get(self.place(name).ok()?).map(|(_, value)| value)
    }

    #[must_use]
    pub fn contains_key(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Name, &T)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Name> {
        self.0.iter().map(|(name, _)| name)
    }

    pub fn values(&self) -> impl ExactSizeIterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }

    pub fn values_mut(&mut self) -> impl ExactSizeIterator<Item = &mut T> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(it, _)| (**it).cmp(name))
    }
}

impl<'a, T> IntoIterator for &'a Named<T> {
    type Item = (&'a Name, &'a T);
    type IntoIter = std::iter::Map<std::slice::Iter<'a, (Name, T)>, fn(&'a (Name, T)) -> (&'a Name, &'a T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, N: Into<Name>> FromIterator<(N, T)> for Named<T> {
    /// Of two values of one name the later stays.
    fn from_iter<I: IntoIterator<Item = (N, T)>>(values: I) -> Self {
        let mut all: Vec<(Name, T)> = values.into_iter().map(|(name, value)| (name.into(), value)).collect();
        all.shrink_to_fit();
        // The sort keeps the order of equals, so that the last of them comes first when it is turned round.
        all.reverse();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all.dedup_by(|one, other| one.0 == other.0);
        Self(all)
    }
}

impl<T: fmt::Debug> fmt::Debug for Named<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map_in_the_order_of_names(pairs: Vec<(String, u8)>, removed: String) {
            let mut named: Named<u8> = pairs.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            let mut map: BTreeMap<String, u8> = pairs.iter().cloned().collect();
            prop_assert!(named.iter().map(|(name, value)| (&**name, value)).eq(map.iter().map(|(name, it)| (name.as_str(), it))));
            let mut inserted = Named::default();
            pairs.iter().for_each(|(name, value)| _ = inserted.insert(name.as_str(), *value));
            prop_assert_eq!(&inserted, &named);
            prop_assert_eq!(named.remove(&removed), map.remove(&removed));
            for (name, value) in &pairs {
                prop_assert_eq!(named.insert(name.as_str(), value / 2), map.insert(name.clone(), value / 2));
                prop_assert_eq!(named.get(name), map.get(name));
            }
        }
    }
}
