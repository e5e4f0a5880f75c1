"""What clients send along that asks for nothing here: taken, and named in the answer's header `x-inferq-ignored`."""

from __future__ import annotations

from gateway.schemas.objects import MOST_PAIRS, Object, Strict
from gateway.schemas.parameters import INT32_MAX, Array, Boolean, Ignored, Integer, Number, Only, Text

_SETTING = Integer(-1, INT32_MAX)


class IgnoredSchema(Strict):
    """Those of chat and completions. What can ask for something is taken only where it does not."""

    # OpenAI's: who asks, and which parts of a prompt are to be kept. Here all of it is.
    user = Ignored(Text())
    metadata = Ignored(Object(strings=True))
    safety_identifier = Ignored(Text())
    prompt_cache_options = Ignored(Object())
    verbosity = Ignored(Text())

    # Ollama's, of how a model is loaded, which the operator decides. Open WebUI sends them to every server.
    num_ctx = Ignored(_SETTING)
    num_batch = Ignored(_SETTING)
    num_keep = Ignored(_SETTING)
    num_gpu = Ignored(_SETTING)
    num_thread = Ignored(_SETTING)
    use_mmap = Ignored(Boolean())
    use_mlock = Ignored(Boolean())
    keep_alive = Ignored(Text(), Number(-INT32_MAX, INT32_MAX))
    options = Ignored(Only({}))

    # OpenRouter's, of who is to serve the model: there is one.
    provider = Ignored(Object())
    models = Ignored(Only([]))
    route = Ignored(Text())
    transforms = Ignored(Array(Text(), 0, MOST_PAIRS))
    plugins = Ignored(Only([]))
    usage = Ignored(Object())
    session_id = Ignored(Text())

    # llama.cpp's, of what an answer tells beside its text.
    timings_per_token = Ignored(Boolean())
    return_progress = Ignored(Boolean())

    # Not supported: at these values they ask for nothing.
    store = Only(False)
    priority = Only(0)
    id_slot = Only(-1)
    post_sampling_probs = Only(False)
    lora = Only([])
