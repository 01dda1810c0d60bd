//! A list whose only item needs no block of the heap. Most clients are in one room, and many a room has one member.

/// The list. Its first block of the heap has room for `AT_FIRST` items.
#[derive(Debug)]
pub enum List<T, const AT_FIRST: usize> {
    One(T),
    /// Any other number of them.
    Many(Vec<T>),
}

impl<T, const AT_FIRST: usize> Default for List<T, AT_FIRST> {
    fn default() -> Self {
        List::Many(Vec::new())
    }
}

impl<T: Copy, const AT_FIRST: usize> List<T, AT_FIRST> {
    pub fn as_slice(&self) -> &[T] {
        match self {
            List::One(item) => std::slice::from_ref(item),
            List::Many(items) => items,
        }
    }

    pub fn as_mut_slice(&mut self) -> &mut [T] {
        match self {
            List::One(item) => std::slice::from_mut(item),
            List::Many(items) => items,
        }
    }

    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    pub fn push(&mut self, item: T) {
        match self {
            List::One(first) => {
                let mut items = Vec::with_capacity(AT_FIRST);
                items.extend([*first, item]);
                *self = List::Many(items);
            }
            List::Many(items) if items.is_empty() => *self = List::One(item),
            List::Many(items) => items.push(item),
        }
    }

    /// Takes out the item at this place, where the last one is then.
    pub fn swap_remove(&mut self, place: usize) -> Option<T> {
        let removed = *self.as_slice().get(place)?;
        match self {
            List::One(_) => *self = List::default(),
            List::Many(items) => {
                items.swap_remove(place);
                if let [last] = items[..] {
                    *self = List::One(last);
                } else if items.capacity() > AT_FIRST && items.len() < items.capacity() / 4 {
                    // Only when three quarters are empty, so that this is paid for by the items that went.
                    items.shrink_to(AT_FIRST.max(items.len() * 2));
                }
            }
        }
        Some(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// It does what a vector does, and takes memory as it should.
        #[test]
        fn like_a_vector(steps in proptest::collection::vec(proptest::option::weighted(0.6, 0..200_usize), 0..300)) {
            let (mut list, mut vector) = (List::<usize, 4>::default(), Vec::new());
            for (item, step) in steps.into_iter().enumerate() {
                match step {
                    None => {
                        list.push(item);
                        vector.push(item);
                    }
                    Some(place) if place < vector.len() => {
                        prop_assert_eq!(list.swap_remove(place), Some(vector.swap_remove(place)));
                    }
                    Some(place) => prop_assert_eq!(list.swap_remove(place), None),
                }
                prop_assert_eq!(list.as_slice(), &vector[..]);
                prop_assert_eq!(list.as_mut_slice(), &mut vector[..]);
                let capacity = if let List::Many(items) = &list { items.capacity() } else { 0 };
                prop_assert!(vector.len() > 1 || capacity == 0);
                prop_assert!(capacity <= 4.max(vector.len() * 4 + 4), "{capacity} for {}", vector.len());
            }
        }
    }
}
