//! Percent-encoding of urls.

/// Undoes `%20`.
pub(super) fn decode(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        // A sign, which the standard library would take for a part of the number, is no hex digit.
        let hex = after.get(..2).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.ok_or("`%` must be followed by two hex digits; write %25 for `%` itself")?);
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8")
}

/// A value after the `?`, where `+` is a space. What cannot be decoded stays as it is.
pub(super) fn decode_query(value: &str) -> String {
    let spaced = value.replace('+', " ");
    decode(&spaced).unwrap_or(spaced)
}
