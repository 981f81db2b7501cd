"""Generate canonical documents for the checks of translations."""

from typing import Any

from hypothesis import strategies as st

from zenskar.model.fields import EntityShape

Documents = st.SearchStrategy[dict[str, Any]]

_WORDS = st.one_of(
    st.sampled_from(
        ("Ada", "O'Neil-Smith", "Søren", "李", "😀", "0", "null", "a&b=c", 'x"y\\z', "%2F")
    ),
    st.text(st.characters(categories=("Ll", "Lu", "Lo", "Nd")), min_size=1, max_size=12),
)
"""Words without spaces: external systems differ about leading and double spaces."""
_TEXTS = st.lists(_WORDS, min_size=1, max_size=3).map(" ".join)
_ADDRESSES = st.fixed_dictionaries(
    {"line1": _TEXTS},
    optional={
        **dict.fromkeys(("line2", "city", "state", "postal_code"), _TEXTS),
        "country": st.sampled_from(("DE", "IN", "US")),
    },
)
_KEYS = st.from_regex(r"[a-y][a-z0-9_]{0,15}", fullmatch=True)
_ALWAYS = {
    "name": _TEXTS,
    "email": st.from_regex(
        r"[a-z0-9]{1,12}([.+][a-z0-9]{1,8})?@[a-z]{1,8}\.example", fullmatch=True
    ),
}
_SOMETIMES = {
    "phone": st.from_regex(r"\+[1-9][0-9]{6,13}", fullmatch=True),
    "address": _ADDRESSES,
    "metadata": st.dictionaries(_KEYS, _TEXTS, max_size=4),
}


def customers(shape: EntityShape) -> Documents:
    """Return canonical customers with the carried fields; the API requires name and e-mail."""
    names = shape.names
    return st.fixed_dictionaries(
        {name: values for name, values in _ALWAYS.items() if name in names},
        optional={name: _SOMETIMES[name] for name in sorted(names - _ALWAYS.keys())},
    )
