//! Which web pages may read answers of the public listener (`api.cors_origins`).

use axum::http::HeaderValue;

/// Origins written down at most.
const ORIGINS_MAX: usize = 64;

/// See the module documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// `None`: all of them.
    listed: Option<Vec<HeaderValue>>,
}

impl Origins {
    /// Reads `*`, or origins separated by commas.
    ///
    /// # Errors
    /// One of them is not `http(s)://HOST[:PORT]`, or there are more than 64: says which.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == "*" {
            return Ok(Self::default());
        }
        let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        if parts.len() > ORIGINS_MAX {
            return Err(format!("{} origins; at most {ORIGINS_MAX} are taken", parts.len()));
        }
        let listed = parts.into_iter().map(|part| {
            let host = part.strip_prefix("https://").or_else(|| part.strip_prefix("http://")).unwrap_or_default();
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._:[]".contains(c);
            match HeaderValue::from_str(part) {
                // Browsers send an origin in lower case, without a path: another form would never match.
                Ok(value) if !host.is_empty() && host.chars().all(fits) => Ok(value),
                _ => Err(format!("`{part}` is not an origin: they look like https://app.example:8080, in lower case and without a path")),
            }
        });
        Ok(Self { listed: Some(listed.collect::<Result<_, _>>()?) })
    }

    /// What to allow a request from `origin`; `None`: nothing. The answer depends on the origin only where some are listed.
    pub fn allow(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        match &self.listed {
            None => Some(HeaderValue::from_static("*")),
            Some(listed) => origin.filter(|origin| listed.contains(origin)).cloned(),
        }
    }

    /// Whether answers differ by origin, which caches must be told.
    pub fn vary(&self) -> bool {
        self.listed.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_or_those_listed() {
        let origin = |text: &'static str| HeaderValue::from_static(text);
        let all = Origins::parse(" * ").unwrap();
        assert_eq!(
            (all.allow(None), all.allow(Some(&origin("https://x.example"))), all.vary()),
            (Some(origin("*")), Some(origin("*")), false)
        );
        let some = Origins::parse("https://app.example, http://localhost:3000").unwrap();
        for (from, allowed) in [
            (None, None),
            (Some("https://app.example"), Some("https://app.example")),
            (Some("http://localhost:3000"), Some("http://localhost:3000")),
            (Some("https://app.example.evil.example"), None),
            (Some("http://app.example"), None),
            (Some("null"), None),
        ] {
            assert_eq!(some.allow(from.map(origin).as_ref()), allowed.map(origin), "{from:?}");
        }
        assert!(some.vary());
        assert_eq!(Origins::parse("").unwrap().allow(Some(&origin("https://app.example"))), None);
    }

    #[test]
    fn what_can_never_match_is_refused() {
        for wrong in ["app.example", "https://", "https://app.example/", "https://App.example", "*, https://app.example", "https://a b"] {
            assert!(Origins::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Origins::parse(&vec!["https://a.example"; ORIGINS_MAX + 1].join(",")).unwrap_err().contains("65"));
    }
}
