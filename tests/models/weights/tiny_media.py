"""Tiny models with random weights that look or listen, as folders: Llava, Gemma 3, Qwen2-Audio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .tiny import tokenizer_of

IMAGE, AUDIO = "<image>", "<|AUDIO|>"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}IMAGE{% elif p['type'] == 'audio' %}AUDIO"
    "{% else %}{{ p['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 1024,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "eos_token_id": 2,
    "bos_token_id": None,
}
SEEING = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}


def template(image: str = IMAGE) -> str:
    """That of a model whose texts have this for an image."""
    sound = f"<|audio_bos|>{AUDIO}<|audio_eos|>"
    return TEMPLATE.replace("IMAGE", image).replace("AUDIO", sound)


def llava(folder: Path) -> Path:
    """A causal model that looks."""
    import torch
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        Qwen3Config,
    )

    tokenizer = tokenizer_of(IMAGE)
    side = {"height": 28, "width": 28}
    processor: Any = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 28}, crop_size=side),
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template(),
        image_token=IMAGE,
    )
    processor.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**SEEING),
        text_config=Qwen3Config(vocab_size=len(tokenizer), **TEXT),
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
    )
    _loud(LlavaForConditionalGeneration(config)).save_pretrained(folder)
    return folder


def gemma(folder: Path) -> Path:
    """A scalar head that looks."""
    import torch
    from transformers import (
        Gemma3Config,
        Gemma3ForSequenceClassification,
        Gemma3ImageProcessor,
        Gemma3Processor,
        Gemma3TextConfig,
        SiglipVisionConfig,
    )

    names = {"image_token": "<soft>", "boi_token": "<boi>", "eoi_token": "<eoi>"}
    tokenizer = tokenizer_of(*names.values(), extra_special_tokens=names)
    looks = Gemma3ImageProcessor(size={"height": 28, "width": 28})
    processor: Any = Gemma3Processor(
        looks, tokenizer, chat_template=template("<boi>"), image_seq_length=4
    )
    processor.save_pretrained(folder)
    torch.manual_seed(0)
    ids = [tokenizer.convert_tokens_to_ids(name) for name in names.values()]
    config = Gemma3Config(
        text_config=Gemma3TextConfig(vocab_size=len(tokenizer), **TEXT),
        vision_config=SiglipVisionConfig(**SEEING, vision_use_head=False),
        mm_tokens_per_image=4,
        image_token_index=ids[0],
        boi_token_index=ids[1],
        eoi_token_index=ids[2],
        num_labels=1,
        pad_token_id=0,
    )
    _loud(Gemma3ForSequenceClassification(config)).save_pretrained(folder)
    return folder


def qwen_audio(folder: Path) -> Path:
    """A causal model that listens."""
    import torch
    from transformers import (
        Qwen2AudioConfig,
        Qwen2AudioEncoderConfig,
        Qwen2AudioForConditionalGeneration,
        Qwen2AudioProcessor,
        Qwen2Config,
        WhisperFeatureExtractor,
    )

    tokenizer = tokenizer_of("<|audio_bos|>", AUDIO, "<|audio_eos|>")
    hears = WhisperFeatureExtractor(feature_size=16, chunk_length=30)
    processor: Any = Qwen2AudioProcessor(hears, tokenizer, chat_template=template())
    processor.save_pretrained(folder)
    torch.manual_seed(0)
    encoder = Qwen2AudioEncoderConfig(
        num_mel_bins=16,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=64,
        d_model=32,
        max_source_positions=1500,
    )
    text = {name: value for name, value in TEXT.items() if name != "head_dim"}
    config = Qwen2AudioConfig(
        audio_config=encoder,
        text_config=Qwen2Config(vocab_size=len(tokenizer), **text),
        audio_token_index=tokenizer.convert_tokens_to_ids(AUDIO),
    )
    _loud(Qwen2AudioForConditionalGeneration(config)).save_pretrained(folder)
    return folder


def _loud(model: Any) -> Any:
    """The model with weights so large that each input counts."""
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.2)
    return model.eval()
