"""Reading the contract's real server from the environment."""

import pytest

from tests.contract.host import host_from_environment


def test_without_a_url_there_is_no_real_server() -> None:
    assert host_from_environment({"COMFYUI_URL": "", "COMFYUI_TOKEN": "s3cret"}) is None


def test_a_server_may_be_behind_a_prefix_and_a_token() -> None:
    host = host_from_environment(
        {
            "COMFYUI_URL": "https://gpu.example/comfy/",
            "COMFYUI_TOKEN": "s3cret",
            "COMFYUI_HEADERS": '{"X-Key": "k"}',
            "COMFYUI_PATIENCE": "300",
        }
    )

    assert host is not None
    assert str(host.address.url("/prompt")) == "https://gpu.example/comfy/prompt"
    assert str(host.address.websocket("x")) == "wss://gpu.example/comfy/ws?clientId=x"
    assert host.headers == {"X-Key": "k", "Authorization": "Bearer s3cret"}
    assert host.patience_s == 300
    assert "s3cret" not in repr(host)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("COMFYUI_URL", "http://me:s3cret@gpu"),
        ("COMFYUI_HEADERS", "X-Key: s3cret"),
        ("COMFYUI_HEADERS", '["s3cret"]'),
        ("COMFYUI_PATIENCE", "-1"),
    ],
)
def test_what_will_not_do_is_named_without_what_is_secret(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: ") as refusal:
        host_from_environment({"COMFYUI_URL": "gpu:8188", name: value})

    assert "s3cret" not in str(refusal.value)
