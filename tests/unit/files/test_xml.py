import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import BadInput
from pipeline.files.xml import DEPTH_LIMIT, ELEMENT_LIMIT, SIZE_LIMIT, TAG_LIMIT, parse

TEXT = """<?xml version="1.0"?>
<!--
WARNING: THIS IS AN AUTO-GENERATED FILE. <name>none</name>
  virsh edit x
-->
<domain type='kvm'
        id="1">
  <name>x<!-- <a> --></name><os machine = 'a>b'
    firmware="efi"/>
  <![CDATA[<b>]]><name>
    y</name>
</domain>
"""


def refusal(data: bytes) -> BadInput:
    with pytest.raises(BadInput) as error:
        parse(data, shown="x.xml")
    return error.value


def where(place):
    return (place.line, place.column)


def test_places():
    document = parse(TEXT.encode(), shown="x.xml")
    root = document.root
    first, os, second = root
    assert (root.tag, first.tag, os.tag, second.tag) == ("domain", "name", "os", "name")
    assert where(document.place(root)) == (6, 1)
    assert where(document.place(root, "type")) == (6, 15)
    assert where(document.place(root, "id")) == (7, 13)
    assert where(document.place(root, "nosuch")) == (6, 1)
    assert where(document.place(first)) == (8, 3)
    assert where(document.text_place(first)) == (8, 9)
    assert where(document.place(os, "machine")) == (8, 44)
    assert where(document.place(os, "firmware")) == (9, 15)
    assert where(document.text_place(os)) == where(document.place(os))
    assert where(document.text_place(second)) == (11, 5)
    place = document.place(os, "firmware")
    assert (place.file, place.text) == ("x.xml", 'firmware="efi"/>')


NAMES = st.text("abc", min_size=1, max_size=3)
TEXTS = st.text("xé> \n'\"", max_size=5)


@st.composite
def elements(draw, depth=3):
    from lxml import etree

    element = etree.Element(draw(NAMES), draw(st.dictionaries(NAMES, TEXTS, max_size=2)))
    element.text = draw(TEXTS)
    for child in draw(st.lists(elements(depth=depth - 1), max_size=3)) if depth else ():
        element.append(child)
        child.tail = draw(TEXTS)
    return element


@settings(max_examples=40)
@given(elements())
def test_every_place_points_at_the_element(tree):
    from lxml import etree

    text = etree.tostring(tree, encoding="unicode")
    document = parse(text.encode(), shown="x.xml")
    lines = text.split("\n")
    seen = list(document.root.iter())
    assert [one.tag for one in seen] == [one.tag for one in tree.iter()]
    for one in seen:
        place = document.place(one)
        assert lines[place.line - 1][place.column - 1 :].startswith(f"<{one.tag}")


@pytest.mark.parametrize(
    ("data", "message", "at"),
    [
        (b"", "Document is empty", (1, 1)),
        (b"<a>\n  <b></a>", "Opening and ending tag mismatch", (2, 10)),
        (b"<a>\n\xff</a>", "not UTF-8", (2, 1)),
        (b"<a x='1' x='2'/>", "Attribute x redefined", (1, 15)),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "document type declaration", (1, 1)),
        (b"<a>\n&b;</a>", "Entity 'b' not defined", (2, 4)),
        (b"<a>\0</a>", "not well-formed", (1, 4)),
        (b"<a/><b/>", "Extra content", (1, 5)),
        (b"<!-- ", "not well-formed", (1, 6)),
    ],
)
def test_refused_with_the_place(data, message, at):
    error = refusal(data)
    assert message in error.message
    assert where(error.place) == at
    assert error.hint


def test_limits():
    assert "4 MiB" in refusal(b" " * (SIZE_LIMIT + 1)).message
    assert "levels" in refusal(b"<a>" * (DEPTH_LIMIT + 1)).message
    assert "elements" in refusal(b"<a>" + b"<b/>" * ELEMENT_LIMIT).message
    assert "characters" in refusal(b"<a b='" + b"x" * TAG_LIMIT + b"'/>").message
    deep = b"<a>" * DEPTH_LIMIT + b"</a>" * DEPTH_LIMIT
    assert len(list(parse(deep, shown="x.xml").root.iter())) == DEPTH_LIMIT
