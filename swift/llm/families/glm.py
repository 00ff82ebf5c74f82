"""ChatGLM, GLM, CodeGeeX, CogVLM and GLM-Edge of Zhipu AI (THUDM, Z.ai)."""

from __future__ import annotations

from swift.llm.families._shapes import SWIFT_2, declare, like
from swift.llm.model.registry import QKV, QWEN_VL_PARTS, ModelParts, Variant, add_checkpoints, add_family, hubs, under
from swift.llm.template.chat_template import Thinking, WrittenTemplate
from swift.llm.template.registry import TEMPLATES
from swift.llm.template.written.glm import (
    write_chatglm,
    write_chatglm3,
    write_glm4_5,
    write_glm4_6,
    write_glm4_7,
    write_glm4_rounds,
    write_glm_edge,
)

_GLM_STOPS = ('<|endoftext|>', '<|user|>', '<|observation|>')
declare(
    'chatglm2', system_prefix=('{{SYSTEM}}',), prompt=('[Round {{ROUND1}}]\n\n问：{{QUERY}}\n\n', '答：'),
    chat_sep=('\n\n',), suffix=(('eos_token',),), auto_add_bos=True)
_CHATGLM4V_TEMPLATE = declare(
    'chatglm4v', system_prefix=('<|system|>\n{{SYSTEM}}',), prompt=('<|user|>\n{{QUERY}}<|assistant|>\n',),
    chat_sep=(), suffix=('<|endoftext|>',), stop_words=('<|endoftext|>', '<|user|>', '<|observation|>'),
    auto_add_bos=True, dialect='chatglm4')
_CHATGLM4_TEMPLATE = like(_CHATGLM4V_TEMPLATE, 'chatglm4', suffix=('<|user|>',))
_GLM4_TEMPLATE = like(
    _CHATGLM4_TEMPLATE, 'glm4', prefix=('[gMASK]<sop>',), system_prefix=('[gMASK]<sop><|system|>\n{{SYSTEM}}',),
    dialect='glm4', thinking=Thinking(prefix='<think>'))
_GLM4V_TEMPLATE = like(_GLM4_TEMPLATE, 'glm4v', thinking=None)
_GLM4_5_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'glm4_5', write_glm4_5, stop_words=_GLM_STOPS, ending='<|user|>', options=('enable_thinking',), dialect='glm4_5',
    thinking=Thinking(empty='<think></think>', history='<think></think>'),
    source='GLM-4.5 chat_template (TRL glm4moe)'))
like(_GLM4_5_TEMPLATE, 'glm4_6', write=write_glm4_6, source='GLM-4.6 chat_template (llama.cpp models/templates)')
like(_GLM4_5_TEMPLATE, 'glm4_7', write=write_glm4_7, options=('enable_thinking', 'clear_thinking'), dialect='glm4_7',
     thinking=Thinking(prefix='<think>', empty='</think>', history='</think>'),
     source='GLM-4.7-Flash chat_template (llama.cpp models/templates)')
_GLM5_1_TEMPLATE = declare(
    'glm5_1', prefix=('[gMASK]<sop>',), system_prefix=('[gMASK]<sop><|system|>{{SYSTEM}}',),
    prompt=('<|user|>{{QUERY}}<|assistant|>',), chat_sep=(), suffix=('<|user|>',), stop_words=_GLM_STOPS,
    auto_add_bos=True, dialect='glm5_1',
    thinking=Thinking(prefix='<think>', empty='</think>', history='</think>'))
like(
    _GLM5_1_TEMPLATE, 'glm5_2',
    thinking=Thinking(prefix='<think>', empty='<think></think>', history='<think></think>'))
like(_GLM4_TEMPLATE, 'glm4_5v', dialect='glm4_5',
     thinking=Thinking(empty='<think></think>\n', history='<think></think>\n'))
like(
    _GLM4_TEMPLATE, 'glm4_z1_rumination',
    default_system=(
        '你是一个专业的深度研究助手，通过提供的工具与模拟浏览器交互，来帮助用户'
        '完成深度信息调研和报告撰写任务。今年是 2025 年。\n\n<核心要求>\n- '
        '首先分解用户请求，得到包含多个子要求的列表\n- 制定初始研究计划\n- 进行多轮迭代搜索和页面浏览（at least '
        '10 function calls）：\n    * 根据已获得的信息调整研究计划和关键词\n'
        '    * 打开页面阅读，从发现的内容中识别新的关键概念/名词\n    * 从搜索结果中提取新的关键词继续搜索\n'
        '    * 访问并仔细阅读相关页面，识别新的关键概念/名词\n\n<重要配置>\n- 采用语言\n'
        '    * 搜索关键词：英文\n    * 思考：英文\n\n<可调用的工具列表>\n[{"name": "search", "description": '
        '"Execute a search query and return search results. Use this function when you need to find information '
        'about a specific topic.", "parameters": {"type": "object", "properties": {"query": {"type": "string", '
        '"description": "Search query string, use English words unless it is a proper name in Chinese"}}, '
        '"required": ["query"], "additionalProperties": false}}, {"name": "click", "description": "Click a link '
        'in the search results and navigate to the corresponding page. Use this function when you need to view '
        'detailed content of a specific search result.", "parameters": {"type": "object", "properties": '
        '{"link_id": {"type": "integer", "description": "The link ID to click (from the sequence number in '
        'search results)"}}, "required": ["link_id"], "additionalProperties": false}}, {"name": "open", '
        '"description": "Open a specific website. Get content from any website with its URL.", "parameters": '
        '{"type": "object", "properties": {"url": {"type": "string", "description": "The target website URL or '
        'domain"}}, "required": ["url"], "additionalProperties": false}}, {"name": "finish", "description": '
        '"Finish the task. Use this function when you have found the information you need.", "parameters": '
        '{"type": "object", "properties": {}, "additionalProperties": false}}]'),
    thinking=Thinking())
like(
    _CHATGLM4_TEMPLATE, 'codegeex4',
    default_system=(
        '你是一位智能编程助手，你叫CodeGeeX。你会为用户回答关于编程、代'
        '码、计算机方面的任何问题，并提供格式规范、可以执行、准确安全的代码，并在必要时提供详细的解释。'))
declare(
    'longwriter_llama', prefix=('[INST]',), system_prefix=('<<SYS>>\n{{SYSTEM}}\n<</SYS>>\n\n',),
    prompt=('{{QUERY}}[/INST]',), chat_sep=('[INST]',), suffix=('<|end_of_text|>',))
_COGAGENT_CHAT_TEMPLATE = declare(
    'cogagent_chat', prefix=('<s>',), prompt=(' [INST] {{QUERY}} [/INST] ',), chat_sep=(), suffix=('</s>',))
like(_COGAGENT_CHAT_TEMPLATE, 'cogagent_vqa', prompt=('<EOI>Question: {{QUERY}} Answer:',), chat_sep=None)
_COGVLM_TEMPLATE = declare(
    'cogvlm', prefix=(('bos_token',),), prompt=('Question: {{QUERY}} Answer:',), chat_sep=('\n',),
    suffix=(('eos_token',),))
like(_COGVLM_TEMPLATE, 'cogvlm2')
like(_COGVLM_TEMPLATE, 'cogvlm2_video')
declare(
    'glm_edge_v', system_prefix=('<|system|>\\n{{SYSTEM}}\\n',),
    prompt=('<|user|>\\n{{QUERY}}\\n', '<|assistant|>\\n'), chat_sep=('\\n',), suffix=('<|endoftext|>',),
    stop_words=('<|endoftext|>', '<|user|>', '<|observation|>'), auto_add_bos=True, dialect='chatglm4')
like(_GLM4V_TEMPLATE, 'glm_ocr')
like(
    _CHATGLM4V_TEMPLATE, 'codegeex4-swift2',
    default_system=(
        '你是一位智能编程助手，你叫CodeGeeX。你会为用户回答关于编程、代'
        '码、计算机方面的任何问题，并提供格式规范、可以执行、准确安全的代码，并在必要时提供详细的解释。'),
    source=SWIFT_2)
_CHATGLM_TEMPLATE = TEMPLATES.add(WrittenTemplate(
    'chatglm', write_chatglm, drops=frozenset({'system', 'tools', 'calls', 'results', 'reasoning'}),
    source='ChatGLM as in vLLM examples/template_chatglm.jinja'))
like(_CHATGLM_TEMPLATE, 'glm4_tools', write=write_glm4_rounds, dialect='glm4_5', ending='<|user|>',
     drops=_CHATGLM_TEMPLATE.drops - {'tools'}, source='GLM-4 as in vLLM examples/tool_chat_template_glm4.jinja')
_CHATGLM3_TEMPLATE = like(
    _CHATGLM_TEMPLATE, 'chatglm3_6b', write=write_chatglm3, stop_words=_GLM_STOPS, ending='<|user|>',
    drops=frozenset({'tools', 'calls', 'reasoning'}),
    source='chatglm3-6b chat_template (npm @lenml/tokenizer-chatglm3; llama.cpp tests)')
like(_CHATGLM3_TEMPLATE, 'glm_edge', write=write_glm_edge, drops=frozenset({'tools', 'calls', 'results', 'reasoning'}),
     source='glm-edge chat_template (llama.cpp tests)')
for _alias, _name in {
    'glm4_moe': 'glm4_5', 'glm4moe': 'glm4_5', 'glm4_moe_4_5': 'glm4_5', 'glm_4_5': 'glm4_5', 'glm_4_6': 'glm4_6',
    'glm_4_7': 'glm4_7', 'glm_4_7_flash': 'glm4_7', 'glm4_7_flash': 'glm4_7', 'glm-edge': 'glm_edge',
}.items():
    TEMPLATES.alias(_alias, _name)
TEMPLATES.alias('glm4v-swift2', 'chatglm4v')
TEMPLATES.alias('glm-edge-v', 'glm_edge_v')
TEMPLATES.alias('chatglm-generation', 'default-generation')
TEMPLATES.alias('chatglm3', 'chatglm4')
TEMPLATES.alias('longwriter-llama3', 'longwriter_llama')
TEMPLATES.alias('cogagent-chat', 'cogagent_chat')
TEMPLATES.alias('cogagent-instruct', 'cogagent_vqa')
TEMPLATES.alias('cogvlm2-video', 'cogvlm2_video')
for _alias, _name in {
    'glm4_moe_4_6': 'glm4_6', 'glm4_moe_4_7': 'glm4_7',
}.items():
    TEMPLATES.alias(_alias, _name)

_CHATGLM2 = add_family(
    'chatglm2', 'ChatGLMModel', 'ChatGLMForConditionalGeneration', template='chatglm2',
    requires=('transformers<4.42',), ids=hubs('ZhipuAI', 'zai-org', 'chatglm2-6b', 'chatglm2-6b-32k'),
    variants=(
        Variant('chatglm2', requires=('transformers<4.34',), tags=('coding',),
            ids=(('ZhipuAI/codegeex2-6b', 'zai-org/codegeex2-6b'),)),))
add_checkpoints(
    _CHATGLM2,
    ('codegeex2-6b', 'default-generation', 'ZhipuAI/codegeex2-6b', 'THUDM/codegeex2-6b'),
    target_modules=('query_key_value',), requires=('transformers<4.34',), tags=('coding',))
add_checkpoints(
    _CHATGLM2,
    ('chatglm2-6b', 'chatglm2', 'ZhipuAI/chatglm2-6b', 'THUDM/chatglm2-6b'),
    ('chatglm2-6b-32k', 'chatglm2', 'ZhipuAI/chatglm2-6b-32k', 'THUDM/chatglm2-6b-32k'),
    target_modules=('query_key_value',))
_CHATGLM3 = add_family(
    'chatglm3', 'ChatGLMModel', 'ChatGLMForConditionalGeneration', template='chatglm4',
    requires=('transformers<4.42',),
    ids=hubs('ZhipuAI', 'zai-org', 'chatglm3-6b', 'chatglm3-6b-base', 'chatglm3-6b-32k', 'chatglm3-6b-128k'))
add_checkpoints(
    _CHATGLM3,
    ('chatglm3-6b-base', 'default-generation', 'ZhipuAI/chatglm3-6b-base', 'THUDM/chatglm3-6b-base'),
    ('chatglm3-6b', 'chatglm4', 'ZhipuAI/chatglm3-6b', 'THUDM/chatglm3-6b'),
    ('chatglm3-6b-128k', 'chatglm4', 'ZhipuAI/chatglm3-6b-128k', 'THUDM/chatglm3-6b-128k'),
    ('chatglm3-6b-32k', 'chatglm4', 'ZhipuAI/chatglm3-6b-32k', 'THUDM/chatglm3-6b-32k'),
    target_modules=('query_key_value',))
_CHATGLM4 = add_family(
    'chatglm4', 'ChatGLMModel', 'ChatGLMForConditionalGeneration', template='chatglm4',
    requires=('transformers>=4.42',),
    ids=hubs('ZhipuAI', 'zai-org', 'glm-4-9b-chat', 'glm-4-9b', 'glm-4-9b-chat-1m', 'LongWriter-glm4-9b'))
add_checkpoints(
    _CHATGLM4,
    ('longwriter-glm4-9b', 'chatglm4', 'ZhipuAI/LongWriter-glm4-9b', 'THUDM/LongWriter-glm4-9b'),
    ('glm4-9b-chat-1m', 'chatglm4', 'ZhipuAI/glm-4-9b-chat-1m', 'THUDM/glm-4-9b-chat-1m'),
    ('glm4-9b-chat', 'chatglm4', 'ZhipuAI/glm-4-9b-chat', 'THUDM/glm-4-9b-chat'),
    ('glm4-9b', 'default-generation', 'ZhipuAI/glm-4-9b', 'THUDM/glm-4-9b'),
    target_modules=('query_key_value',))
add_family(
    'glm4', 'Glm4ForCausalLM', template='glm4', requires=('transformers>=4.51',),
    ids=hubs('ZhipuAI', 'zai-org', 'GLM-4-9B-0414', 'GLM-4-32B-0414', 'GLM-4-32B-Base-0414', 'GLM-Z1-9B-0414',
             'GLM-Z1-32B-0414'),
    variants=(
        Variant('glm4_z1_rumination',
            ids=(('ZhipuAI/GLM-Z1-Rumination-32B-0414', 'zai-org/GLM-Z1-Rumination-32B-0414'),)),))
_CODEGEEX4 = add_family(
    'codegeex4', 'ChatGLMModel', 'ChatGLMForConditionalGeneration', template='codegeex4',
    requires=('transformers<4.42',), tags=('coding',),
    ids=(('ZhipuAI/codegeex4-all-9b', 'zai-org/codegeex4-all-9b'),))
add_checkpoints(
    _CODEGEEX4,
    ('codegeex4-9b-chat', 'codegeex4-swift2', 'ZhipuAI/codegeex4-all-9b', 'THUDM/codegeex4-all-9b'),
    target_modules=('query_key_value',))
_CHATGLM4V = add_family(
    'chatglm4v', 'ChatGLMModel', 'ChatGLMForConditionalGeneration', template='chatglm4v', multimodal=True,
    parts=ModelParts(('transformer.encoder',), vision_tower=('transformer.vision',)),
    requires=('transformers>=4.42,<4.45',), ids=(('ZhipuAI/glm-4v-9b', 'zai-org/glm-4v-9b'),),
    variants=(
        Variant('chatglm4v', requires=('transformers>=4.42',),
            ids=(('ZhipuAI/cogagent-9b-20241220', 'zai-org/cogagent-9b-20241220'),)),))
add_checkpoints(
    _CHATGLM4V,
    ('glm4v-9b-chat', 'chatglm4v', 'ZhipuAI/glm-4v-9b', 'THUDM/glm-4v-9b'),
    target_regex=under('transformer.encoder'), requires=('transformers>=4.42',), tags=('vision',))
add_family(
    'glm4v', 'Glm4vForConditionalGeneration', template='glm4v', multimodal=True, parts=QWEN_VL_PARTS,
    requires=('transformers>=4.53',),
    ids=hubs('ZhipuAI', 'zai-org', 'GLM-4.1V-9B-Base', 'GLM-4.1V-9B-Thinking', 'AutoGLM-Phone-9B'),
    variants=(
        Variant('glm4_5v', (('ZhipuAI/Glyph', 'zai-org/Glyph'),), requires=('transformers>=4.57',)),
        Variant('glm4_5v', requires=('transformers>=5.0.0.dev',),
            ids=(('ZhipuAI/GLM-4.6V-Flash', 'zai-org/GLM-4.6V-Flash'),))))
_COGVLM = add_family(
    'cogvlm', 'CogVLMForCausalLM', template='cogvlm', multimodal=True,
    parts=ModelParts(('model.layers',), vision_tower=('model.vision',)), requires=('transformers<4.42',),
    ids=(('ZhipuAI/cogvlm-chat', 'zai-org/cogvlm-chat-hf'),))
add_checkpoints(
    _COGVLM,
    ('cogvlm-17b-chat', 'cogvlm', 'ZhipuAI/cogvlm-chat', 'THUDM/cogvlm-chat-hf'),
    target_regex=under('model.layers'), tags=('vision',))
_COGAGENT_CHAT = add_family(
    'cogagent_chat', 'CogAgentForCausalLM', template='cogagent_chat', multimodal=True,
    parts=ModelParts(('model.layers',), vision_tower=('model.vision',)), requires=('transformers<4.42', 'timm'),
    ids=(('ZhipuAI/cogagent-chat', 'zai-org/cogagent-chat-hf'),))
add_checkpoints(
    _COGAGENT_CHAT,
    ('cogagent-18b-chat', 'cogagent_chat', 'ZhipuAI/cogagent-chat', 'THUDM/cogagent-chat-hf'),
    target_regex=under('model.layers'), requires=('timm',), tags=('vision',))
_COGAGENT_VQA = add_family(
    'cogagent_vqa', 'CogAgentForCausalLM', template='cogagent_vqa', multimodal=True,
    parts=ModelParts(('model.layers',), vision_tower=('model.vision',)), requires=('transformers<4.42',),
    ids=(('ZhipuAI/cogagent-vqa', 'zai-org/cogagent-vqa-hf'),))
add_checkpoints(
    _COGAGENT_VQA,
    ('cogagent-18b-instruct', 'cogagent_vqa', 'ZhipuAI/cogagent-vqa', 'THUDM/cogagent-vqa-hf'),
    target_regex=under('model.layers'), requires=('timm',), tags=('vision',))
_COGVLM2 = add_family(
    'cogvlm2', 'CogVLMForCausalLM', template='cogvlm2', multimodal=True,
    parts=ModelParts(('model.layers',), vision_tower=('model.vision',)), requires=('transformers<4.42',),
    ids=hubs('ZhipuAI', 'zai-org', 'cogvlm2-llama3-chat-19B', 'cogvlm2-llama3-chinese-chat-19B'))
add_checkpoints(
    _COGVLM2,
    ('cogvlm2-19b-chat', 'cogvlm', 'ZhipuAI/cogvlm2-llama3-chinese-chat-19B', 'THUDM/cogvlm2-llama3-chinese-chat-19B'),
    ('cogvlm2-en-19b-chat', 'cogvlm', 'ZhipuAI/cogvlm2-llama3-chat-19B', 'THUDM/cogvlm2-llama3-chat-19B'),
    target_regex=under('model.layers'), tags=('vision',))
_COGVLM2_VIDEO = add_family(
    'cogvlm2_video', 'CogVLMVideoForCausalLM', template='cogvlm2_video', multimodal=True,
    parts=ModelParts(('model.layers',), vision_tower=('model.vision',)),
    requires=('decord', 'pytorchvideo', 'transformers>=4.42'), tags=('video',),
    ids=(('ZhipuAI/cogvlm2-video-llama3-chat', 'zai-org/cogvlm2-video-llama3-chat'),))
add_checkpoints(
    _COGVLM2_VIDEO,
    ('cogvlm2-video-13b-chat', 'cogvlm2_video', 'ZhipuAI/cogvlm2-video-llama3-chat',
     'THUDM/cogvlm2-video-llama3-chat'),
    target_regex=under('model.layers'), tags=('vision', 'video'))
_GLM_EDGE = add_family(
    'glm_edge', 'GlmForCausalLM', template='chatglm4', requires=('transformers>=4.46',),
    ids=hubs('ZhipuAI', 'zai-org', 'glm-edge-1.5b-chat', 'glm-edge-4b-chat'))
add_checkpoints(
    _GLM_EDGE,
    ('glm-edge-4b-chat', 'chatglm4', 'ZhipuAI/glm-edge-4b-chat', 'THUDM/glm-edge-4b-chat'),
    ('glm-edge-1_5b-chat', 'chatglm4', 'ZhipuAI/glm-edge-1.5b-chat', 'THUDM/glm-edge-1.5b-chat'),
    target_modules=QKV)
_GLM_EDGE_V = add_family(
    'glm_edge_v', 'GlmForCausalLM', template='glm_edge_v', multimodal=True,
    parts=ModelParts(('model.layers',), vision_tower=('model.vision',)), requires=('transformers>=4.46',),
    tags=('vision',), ids=hubs('ZhipuAI', 'zai-org', 'glm-edge-v-2b', 'glm-edge-4b-chat'))
add_checkpoints(
    _GLM_EDGE_V,
    ('glm-edge-v-5b', 'glm_edge_v', 'ZhipuAI/glm-edge-v-5b', 'THUDM/glm-edge-v-5b'),
    ('glm-edge-v-2b', 'glm_edge_v', 'ZhipuAI/glm-edge-v-2b', 'THUDM/glm-edge-v-2b'),
    target_regex=under('model.layers'))
add_family(
    'glm4_moe', 'Glm4MoeForCausalLM', template='glm4_5', requires=('transformers>=4.54',),
    ids=hubs('ZhipuAI', 'zai-org', 'GLM-4.5-Air-Base', 'GLM-4.5-Air', 'GLM-4.5-Air-FP8', 'GLM-4.5-Base', 'GLM-4.5',
             'GLM-4.5-FP8', 'GLM-4.6', 'GLM-4.6-FP8'),
    variants=(
        Variant('glm4_7', hubs('ZhipuAI', 'zai-org', 'GLM-4.7', 'GLM-4.7-FP8')),))
add_family(
    'glm4_moe_lite', 'Glm4MoeLiteForCausalLM', template='glm4_7', requires=('transformers>=5.0.0.dev',),
    ids=(('ZhipuAI/GLM-4.7-Flash', 'zai-org/GLM-4.7-Flash'),))
add_family(
    'glm4v_moe', 'Glm4vMoeForConditionalGeneration', template='glm4_5v', multimodal=True, parts=QWEN_VL_PARTS,
    requires=('transformers>=4.56',), ids=hubs('ZhipuAI', 'zai-org', 'GLM-4.5V', 'GLM-4.5V-FP8'),
    variants=(
        Variant('glm4_5v', requires=('transformers>=5.0.0.dev',),
            ids=hubs('ZhipuAI', 'zai-org', 'GLM-4.6V', 'GLM-4.6V-FP8')),))
add_family(
    'glm_ocr', 'GlmOcrForConditionalGeneration', template='glm_ocr', multimodal=True, parts=QWEN_VL_PARTS,
    requires=('transformers>=5.0.1dev0',), ids=(('ZhipuAI/GLM-OCR', 'zai-org/GLM-OCR'),))
add_family(
    'glm_moe_dsa', 'GlmMoeDsaForCausalLM', template='glm5_1', requires=('transformers>=5.2.0',),
    ids=('ZhipuAI/GLM-5.1-FP8', ('ZhipuAI/GLM-5.1', 'zai-org/GLM-5.1')),
    variants=(
        Variant('glm4_7', (('ZhipuAI/GLM-5', 'zai-org/GLM-5'),)),
        Variant('glm5_2', ('ZhipuAI/GLM-5.2', 'ZhipuAI/GLM-5.2-FP8'))))
