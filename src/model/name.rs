//! Names and the identifiers built from them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::text::ParseError;

/// An RFC 1123 label: lowercase letters, digits and `-`, starting and ending alphanumerically,
/// at most 63 bytes. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// Longest name, in bytes (RFC 1123, section 2.1 by way of RFC 1035, section 2.3.4).
    pub const MAX_LEN: usize = 63;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let bytes = text.as_bytes();
        let inner = bytes.iter().all(|b| edge(Some(b)) || *b == b'-');
        if bytes.len() <= Self::MAX_LEN && edge(bytes.first()) && edge(bytes.last()) && inner {
            return Ok(Name(text.into()));
        }
        let expected = "a name of at most 63 lowercase letters, digits and hyphens that starts \
                        and ends with a letter or digit";
        Err(ParseError::new(text, expected))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! service_scoped_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name { text: Arc<str>, slash: usize }

        impl $name {
            /// The identifier of `name` within `service`.
            pub fn new(service: &Name, name: &Name) -> Self {
                $name { text: format!("{service}/{name}").into(), slash: service.as_str().len() }
            }

            /// `service/name`.
            pub fn as_str(&self) -> &str {
                &self.text
            }

            /// The service's name.
            pub fn service(&self) -> &str {
                &self.text[..self.slash]
            }

            /// The name within the service.
            pub fn name(&self) -> &str {
                &self.text[self.slash + 1..]
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                let expected = || ParseError::new(text, "an identifier such as artifact-registry/pull");
                let (service, name) = text.split_once('/').ok_or_else(expected)?;
                let service = service.parse().map_err(|_| expected())?;
                Ok($name::new(&service, &name.parse().map_err(|_| expected())?))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.text)
            }
        }
    };
}

service_scoped_id! {
    /// A probe: `service/probe`.
    ProbeId
}

service_scoped_id! {
    /// A service level objective: `service/slo`.
    SloId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_rfc_1123_labels() {
        for good in ["a", "a-b", "0a", "artifact-registry", &"a".repeat(63)] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "ä", &"a".repeat(64)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn identifiers_split_into_service_and_name() {
        let id: SloId = "registry/availability".parse().expect("valid");
        assert_eq!(
            (id.service(), id.name(), id.as_str()),
            ("registry", "availability", "registry/availability")
        );
        assert!("registry".parse::<SloId>().is_err());
        assert!("a/b/c".parse::<SloId>().is_err());
    }
}
