"""The nearest name in a message: also where two names look the same."""

from core.command.config import explain_override
from core.validation import nearest


def test_a_name_in_another_normal_form_is_told_by_its_code_points():
    composed, apart = "pr\u00fcfung", "pru\u0308fung"
    hint = nearest(apart, ["other", composed])
    assert hint.endswith("which has U+00FC where this name has U+0075 U+0308?)")
    hint = nearest(composed, [apart])
    assert hint.endswith("which has U+0075 U+0308 where this name has U+00FC?)")
    wide = nearest("defect\uff11", ["defect1"])
    assert wide.endswith("which has U+0031 where this name has U+FF11?)")


def test_other_names_get_the_nearest():
    assert nearest("gama", ["gamma", "alpha"]) == " (did you mean 'gamma'?)"
    assert nearest("x", ["gamma"]) == ""
    assert nearest("gamma", ["gamma"]) == " (did you mean 'gamma'?)"


def test_a_key_inside_a_mapping_says_how_to_give_it():
    error = Exception("Could not override 'model.backbone_options.img_size'.\nKey is not there")
    assert explain_override(error) == (
        "model.backbone_options.img_size: backbone_options has no such key by default: give it as "
        "a whole, model.backbone_options={img_size:VALUE}"
    )
