"""The Chinese words of the pages of docs/tuners; see tuner_pages.py. Data only."""

TEXTS = {
    'lora': {
        'what': (
            '首选方法。给选中的每一层加上两个细长矩阵的乘积，在权重冻结的情况下学习一个低秩的改变。它最成熟，可以无'
            '损合并成普通 checkpoint，各种工具与推理服务都能读取它的文件。'),
        'memory': (
            '每层 r (out + in) 个权重，连同梯度与 AdamW 的动量每个约 16 字节。反向传播要保留层的输入，用 '
            '--lora_dropout 时再多一份；不会构造与 W 一样大的矩阵。'),
        'not_where': (
            '要从大量数据学很多新知识时：加大秩、用 llamapro 或全参训练。只需几千个权重时：ia3、vera、reft 更小。'),
        'pitfall': (
            '全参训练的学习率（1e-5）太小，默认是 1e-4。加大秩时要保持 alpha / rank 不变（或用 --use_rslora true）'
            '，否则适配器会被缩小。'),
    },
    'lora_llm': {
        'title': '语言模型用 LoRA，其余整个训练',
        'what': (
            '用于读取图像、视频、声音的模型：语言模型用 LoRA，编码塔与对齐层整个训练。适合让模型学会一类新的图像，'
            '而语言能力少受影响。'),
        'memory': '语言模型部分同 lora；编码塔与对齐层的每个权重 16 字节，而且有两份（冻结的原件与副本）。',
        'not_where': '显存紧张，或图像类型常见时：用 lora，需要时以 --freeze_vit false 给编码塔加适配器。',
        'pitfall': '训练的部分整个保存，因此适配器与编码塔一样大。',
    },
    'adalora': {
        'what': (
            '奇异值分解形式的 LoRA，训练中把秩的预算移到更需要的层。适合本来要手工调各层秩、且训练够长（几百步）能'
            '估计重要性的情形。'),
        'memory': (
            '每层 r0 (out + in + 1) 个权重、每个 16 字节；另有三份适配器大小的张量记录重要性、其均值与不确定度。'),
        'not_where': '步数很少时；分片训练看不到它需要的梯度。',
        'pitfall': (
            '剪枝按整个训练的总步数安排。在自己的循环里，要在 optimizer.step() 与 zero_grad() 之间调用 '
            'swift.tuners.methods.adalora 的 RankSchedule，否则不会剪枝。'),
    },
    'ia3': {
        'what': (
            '每层一个向量，放大或缩小它的输出。为小样本学习而设计：数据很少，保存的文件只有几百 KB，几乎没有可过拟'
            '合的东西。'),
        'memory': '每个输出一个数，各 16 字节；与激活相比可以忽略。',
        'not_where': '要学的内容多，或回答的形式、语言是新的时。',
        'pitfall': '默认学习率对它偏小：论文用 3e-3。',
    },
    'loha': {
        'what': (
            '两个 LoRA 逐元素相乘。参数是同秩 LoRA 的两倍，差值的秩可达 r 的平方。它来自图像生成，用来学习风格与人'
            '物。'),
        'memory': '每层 2 r (out + in) 个权重、每个 16 字节。每步的前向与反向都要构造整层的差值 [out, in]。',
        'not_where': '显存紧张时；量化权重上。',
    },
    'lokr': {
        'what': (
            '克罗内克积：一个小矩阵决定另外两个矩阵乘积的副本如何铺满整个权重。满秩，而参数比秩为 1 的 LoRA 还少，'
            '因此文件极小。'),
        'memory': '每层 out1 in1 + r (out2 + in2) 个权重、每个 16 字节。每步都要构造整层的差值 [out, in]。',
        'not_where': '显存紧张时；量化权重上。',
        'pitfall': (
            '默认的秩在大层上占比很小：可提高学习率，或把 --lokr_decompose_factor 设为较小的数（4 到 16），训练的参'
            '数更多。'),
    },
    'oft': {
        'what': (
            '旋转层的输入，因此权重的长度与相互夹角不变。这样能保留原有能力，较大的学习率也危害较小。来自图像生成（'
            '主体与控制）。'),
        'memory': '每层 in (b - 1) / 2 个权重、每个 16 字节；反向传播保留旋转后的输入。',
        'not_where': '看重速度时：每层每步多一次分块乘法。',
        'pitfall': '块大小要整除每层的输入；块越大参数越多，而不是越少。',
    },
    'boft': {
        'what': '蝶形结构的 OFT：小块之间用置换连接，以比单个大块更少的参数达到整层的旋转。',
        'memory': (
            '每层 m in b + out 个权重（peft 保存整个块，另有每个输出的缩放）、每个 16 字节；每步都把 [in, in] 的旋'
            '转乘到权重上。'),
        'not_where': '同 oft，而且更慢。',
        'pitfall': (
            '块大小与块数只给一个，另一个写 0；m 个因子时，一层的输入至少要有 2^(m-1) 块。peft 无法编译其 CUDA 扩展'
            '时（CPU 上、没有 ninja），会给出警告并把 m 设为 1。'),
    },
    'hra': {
        'what': '由若干反射组成的旋转：介于 LoRA（差值低秩）与 OFT（正交）之间，每个反射一个向量。',
        'memory': '每层 r in 个权重、每个 16 字节；每步把反射乘成一个 [in, in] 矩阵。',
        'not_where': '要求起点与原模型逐位相同时：成对抵消只精确到舍入，约 1e-6。量化权重上。',
    },
    'vera': {
        'what': (
            '所有层共用一对随机矩阵，每层只训练两个向量。同一模型有很多适配器（用户、任务）时，各自独有的只有几百 '
            'KB。'),
        'memory': '每层 r + out 个权重、每个 16 字节。共享矩阵在设备上只有一份：r（最大 in + 最大 out）。',
        'not_where': '要求单个文件很小时：共享矩阵会与向量一起保存。',
        'pitfall': '向量适合比 LoRA 高约十倍的学习率。',
    },
    'randlora': {
        'what': (
            '随机冻结的基之和，由训练的对角阵缩放：以大约 LoRA 的参数量得到满秩。适合无论多大秩 LoRA 都不如全参训练'
            '的任务。'),
        'memory': (
            '每层约 min(out, in)^2 / r + min(out, in) 个权重（2048 的方阵时同秩为 32 的 LoRA）、每个 16 字节；冻结'
            '的基占着显存，每步还要拼出差值 [out, in]。'),
        'not_where': '显存紧张时。',
        'pitfall': '秩越小，基越多、训练的参数越多：与 LoRA 相反。',
    },
    'vblora': {
        'what': 'LoRA 的列由所有层共享的一组向量混合而成。训练完成后要保留的只是这组向量和每列的几个编号。',
        'memory': '向量组 h b 个权重，每段列 h 个 logit，各 16 字节：训练时并不比同秩的 LoRA 小。',
        'not_where': '层的尺寸不能被 --vblora_vector_length 整除时；要求起点等于原模型时。',
    },
    'fourierft': {
        'what': '差值用少量频率来学习：不论层多大，每层 n 个数。适合几十 KB 的适配器。',
        'memory': '每层 n 个权重、每个 16 字节；每步用逆傅里叶变换构造差值 [out, in]。',
        'not_where': '显存紧张时；要求起点等于原模型时（用 waveft）。',
        'pitfall': '--fourier_scaling 与学习率共同起作用：缩放太小几乎学不到东西。',
    },
    'waveft': {
        'what': '用小波的 FourierFT：小波在权重中是局部的，起点就是原模型。n 可取任意值，适配器的大小可以精确选择。',
        'memory': '每层 n 个权重、每个 16 字节；每步构造差值 [out, in]。',
        'not_where': '显存紧张时；要编译各层时（它的变换会中断计算图）。',
    },
    'c3a': {
        'what': '循环卷积：高秩，代价只有快速傅里叶变换那么大。块大小同时决定参数量与秩：块越小参数越多。',
        'memory': '每层 out in / b 个权重、每个 16 字节；不构造与 W 一样大的矩阵。',
        'not_where': '层的尺寸不能被 --c3a_block_size 整除时；要求起点等于原模型时。',
    },
    'miss': {
        'what': (
            '每层一个小矩阵，作用于输入各段之和。论文报告收敛比 LoRA 快，显存与时间更少。Bone 是它以前的名字；'
            '--sft_type bone 是同一个方法。'),
        'memory': '每层 r out 个权重、每个 16 字节，是 LoRA 的一半；bat 还要构造与整个权重的乘积。',
        'not_where': '要用只认 LoRA 的工具不合并直接加载时。',
        'pitfall': '用 bat 时，秩要整除每层的输入与输出。',
    },
    'delora': {
        'what': (
            '每个秩都是单位范数，由一个数限制一层能离开原权重多远。会让 LoRA 发散的学习率和训练长度，它也承受得住。'),
        'memory': '每层 r (out + in) + 1 个权重、每个 16 字节；另保存每个冻结权重的范数。',
        'not_where': '不清楚任务需要多大的界时；量化权重上。',
        'pitfall': '界太小会使损失降不下去：先提高 --delora_lambda，再提高学习率。',
    },
    'hira': {
        'what': (
            'LoRA 的乘积与权重逐元素相乘，差值因此可以有权重那样高的秩。适合 LoRA 学得不够的任务（论文中是常识、对'
            '话、算术）。'),
        'memory': '每层 r (out + in) 个权重、每个 16 字节；每步构造乘积 [out, in]。',
        'not_where': '显存紧张时。',
        'pitfall': 'W 中接近零的元素始终接近零，因此可以用比 LoRA 高的学习率。',
    },
    'gralora': {
        'what': (
            '分块的 LoRA。少数极端输入会扰乱大秩 LoRA 的全部梯度，在这里只影响所在的块，因此 64 以上的秩仍有收益。'),
        'memory': '每层 r (out + in) 个权重、每个 16 字节，每块另有少量激活。',
        'not_where': '秩小时与 LoRA 相当；层的尺寸不能被 k 整除时。',
    },
    'shira': {
        'what': '直接训练权重中的少数元素。切换适配器只需改写百分之一的权重，多个适配器几乎互不干扰，可以并用。',
        'memory': '每层 r (out + in) 个权重、每个 16 字节，加上位置编号；整层的梯度 [out, in] 会短暂存在。',
        'not_where': '显存紧张时。',
    },
    'road': {
        'what': '成对旋转并缩放输出。这是逐元素的乘法，因此一批里各行用不同的适配器也几乎不增加代价。',
        'memory': '每个输出一到四个数、各 16 字节，另有一份与输出同样大的激活。',
        'not_where': '要学的内容多时。',
    },
    'ln_tuning': {
        'what': '只训练归一化层。论文用它让语言模型学会读图；对文本，它改变语气与形式多于知识。',
        'memory': '每个 block 几千个权重；显存全是激活。',
        'not_where': '要学的内容多时。',
        'pitfall': '它默认的目标是归一化层（LN），不是线性层。',
    },
    'glora': {
        'what': (
            '同时缩放权重、加到权重上、移动偏置，形式可以各自选择。LoRA、权重缩放、偏置微调都是它的特例，而且都能合'
            '并。'),
        'memory': '都用低秩时每层约 2 r (out + in) 个权重、每个 16 字节；每步构造 W * A [out, in]。',
        'not_where': '显存紧张时；量化权重上。',
    },
    'deft': {
        'what': '先从同一子空间移除，再加入：用新知识替换旧知识。来自图像模型：学会一个主体而不丢失其他。',
        'memory': '每层 r (out + in) 个权重、每个 16 字节；每步构造改变后的权重 [out, in]。',
        'not_where': '显存紧张时；要求起点与原模型逐位相同时；量化权重上。',
    },
    'peanut': {
        'what': '权重的改变量是以权重本身为输入的一个小网络，因此同样的参数量能表达的比两个自由矩阵的乘积更多。',
        'memory': (
            '每层 2 r out 个权重（每个内层再加 r^2）、每个 16 字节；f 作用于整个权重，其隐藏激活 [in, r] 要保留。'),
        'not_where': '看重速度时：每步都要在每个权重上运行一个网络。量化权重上。',
    },
    'psoft': {
        'what': '在每个权重的主方向内旋转：像 OFT 一样保护原有能力，参数只有 LoRA 的百分之一。',
        'memory': '每层约 r^2 / 2 + 2 r 个权重、每个 16 字节；A、B 冻结在设备上，共 r (out + in)。',
        'not_where': '要求启动快时（每个权重都要做分解）；秩大于层的较小边时；量化权重上。',
    },
    'supertuning': {
        'what': (
            '训练每个权重中百分之一的元素：绝对值最大的那些，模型最依赖它们。用 --supertuning_rank 可以在旁边加一个'
            ' LoRA。'),
        'memory': '每层 (1 - sparsity) out in 个权重、每个 16 字节，加上编号；整层的梯度会短暂存在。',
        'not_where': '显存紧张时；量化权重上。',
    },
    'tinylora': {
        'what': '每层几十个数，甚至所有层共用。论文用它以强化学习让好的底座学会推理：奖励信号不需要更多参数。',
        'memory': '每层 u 个权重，旁边是冻结的因子 r (out + in)。显存全是激活。',
        'not_where': '要学的内容多（如监督学习新知识）时；要求启动快时（每个权重都要做分解）；量化权重上。',
    },
    'unilora': {
        'what': '整个模型一个向量：LoRA 的每个元素都指向它。论文的结果要把长度提高到几万；256 只适合试验。',
        'memory': 'theta 个权重；编号占一个秩为 r 的 LoRA 的空间，每步运行时其矩阵也是。',
        'not_where': '要学的内容多时；要求起点等于原模型时；量化权重上。',
    },
    'beft': {
        'what': '每个目标层一个训练的偏置，最便宜的改变：不做任何乘法。',
        'memory': '每个输出一个数，各 16 字节。',
        'not_where': '必须合并时：多数层没有偏置可以容纳它。要学的内容多时。',
    },
    'longlora': {
        'what': (
            '用于上万 token 的长数据。训练时一个 token 只看自己的组，注意力的代价是四分之一；一半的头把组错开，使各'
            '组能交换信息。训练之后是普通注意力，适配器就是普通的 LoRA。'),
        'memory': (
            '一个 LoRA，加上词嵌入每个权重 16 字节（及其一份副本）：占 1B 模型的 22 %。注意力的时间与显存是平时的 '
            'ratio 倍。'),
        'not_where': '数据短时；带滑动窗口或注意力截断的模型（会拒绝）；显存紧张时。',
        'pitfall': '数据行会填充，并按自己的长度分组。注意力由它自己决定，因此拒绝 --attn_impl。',
    },
    'prompt_tuning': {
        'what': (
            '学出来而不是写出来的提示。一个冻结的模型服务任意多个任务，每个只要一百 KB 左右。模型越大，效果越接近全'
            '参训练。'),
        'memory': 'v D 个权重、每个 16 字节。反向传播仍要经过整个模型，每行长 v 个 token。',
        'not_where': '小模型、短训练。',
        'pitfall': (
            '论文用 0.3 的学习率和几万步；1e-4 几乎不起作用。`--prompt_tuning_init text` 加一句任务描述，比随机词的'
            '起点好。'),
    },
    'p_tuning': {
        'what': (
            '虚拟 token 由一个小网络产生的 prompt tuning：它们一起移动，更容易训练。保存的是算好的提示，与 '
            'prompt_tuning 一样小。'),
        'memory': '网络有若干个 D x hidden 的权重（默认占 1B 模型的 1 %）、每个 16 字节；每行长 v 个 token。',
        'not_where': '同 prompt_tuning，但程度较轻。',
        'pitfall': '网络只保存在 checkpoint 里，完成的适配器不能照原样继续训练。',
    },
    'prefix_tuning': {
        'what': (
            '在每一层自己的键与值之前加上可训练的键与值，数据会注意到它们：作用于每一层的提示。比 prompt_tuning 学'
            '得多，小模型也适用。'),
        'memory': '2 L v heads d 个权重（带投影时更多）、每个 16 字节；训练与回答时缓存都长 v 个位置。',
        'not_where': '需要 --gradient_checkpointing 时（会拒绝）：它的键通过缓存进入，重算会清空缓存。',
    },
    'part': {
        'title': 'Part：整个训练选中的模块',
        'what': (
            '选中的模块整个训练，作为可以关闭、单独保存的副本：输出头、归一化层、某个 block、多模态模型的投影层。适'
            '合 LoRA 不够、全参又太多的部分。'),
        'memory': '选中模块的每个权重 16 字节，冻结的原件仍在旁边。',
        'not_where': '模块很大时；量化权重、ZeRO-3 与 FSDP（会拒绝）。',
        'pitfall': '没有默认值：用 --target_modules 写出模块。学习率同全参训练。',
    },
    'llamapro': {
        'what': (
            '在模型的 block 之间插入新的，只训练它们：给新知识（一种语言、一个领域）留出空间，原有的 block 不动。合'
            '并后是普通的、更深的 checkpoint。'),
        'memory': (
            '新 block 的每个权重 16 字节（20 个中有 4 个时约为模型的五分之一），加上它们的激活；每次回答也多花相应'
            '的时间。'),
        'not_where': '显存紧张时；量化权重、ZeRO-3 与 FSDP（会拒绝）；模型不允许变慢时。',
        'pitfall': '少数架构不能加深（训练前会说明）。对大模型来说四个新 block 偏少：论文给 32 层加了 8 个。',
    },
    'reft': {
        'what': (
            '在选中的 block 之后，在少数维度的子空间里编辑隐藏状态，不动任何权重。改变行为、风格、格式时，参数是 '
            'LoRA 的十分之一。'),
        'memory': '每个 block 2 r d + r 个权重、每个 16 字节，总是 float32；每个位置多一份 [r] 的激活。',
        'not_where': '需要普通 checkpoint 时（没有可合并的）；新知识很多时；ZeRO-3 与 FSDP（会拒绝）。',
        'pitfall': '编辑的是每一个位置，包括提示与回答；论文也有只编辑提示首尾位置的做法。',
    },
    'adapter': {
        'what': (
            '每个 block 的 MLP 之后的一个小网络：这类方法中最早的，依然很强，也是许多论文的对照。任何输出隐藏状态的'
            '模块都能加，包括编码器与 UNet。'),
        'memory': '每个 block 2 length dim 个权重、每个 16 字节，每个位置多一份 [length] 的激活。',
        'not_where': '需要合并时（会拒绝）：每次回答都多一点时间。ZeRO-3 与 FSDP（会拒绝）。',
    },
    'side': {
        'what': (
            '无论怎样训练，冻结的网络都保留；旁边的第二个网络混入它的输出。原本用于图像模型：逐个学习任务而不遗忘。'),
        'memory': '每个 block 的 MLP 旁有一整个 MLP，约为模型参数的十分之一，每个 16 字节。',
        'not_where': '需要合并时（会拒绝）；显存紧张时；ZeRO-3 与 FSDP（会拒绝）。',
        'pitfall': '起点是模型的 98 %：s 是 sigmoid(4)。--side_alpha 越大，起点越近。',
    },
    'restuning': {
        'what': (
            '一个小网络在冻结的网络旁运行，读取各 block 的输出，改变最后一个归一化层的输入。反向传播从不进入模型，'
            '因此不保留模型的任何激活。'),
        'memory': (
            '每个 block 4 length dim 个权重、每个 16 字节，加上 block 之间的隐藏状态。长数据上，它省去的激活正是显'
            '存的大部分。'),
        'not_where': '需要合并时（会拒绝）；要学的内容多时：它只加工冻结的 block 的输出。ZeRO-3 与 FSDP（会拒绝）。',
    },
    'full': {
        'title': '全参训练与冻结',
        'what': (
            '训练全部或未冻结的权重：能学到的最多，用于继续预训练、新语言、大数据。--freeze_parameters_ratio 0.5 不'
            '动模型的下半部分，省显存，也保留更多原有能力。'),
        'memory': (
            'float32 权重下每个训练的权重 16 字节、冻结的 4 字节。更省的优化器与调度：galore、apollo、muon、lisa、'
            'badam。'),
        'not_where': '数据很少时；同一模型要很多版本时（每个都是完整的 checkpoint）；量化权重（会拒绝）。',
        'pitfall': '学习率取 LoRA 的十分之一：1e-5。',
    },
    'lisa': {
        'what': (
            '每次只全参训练随机几个 block。最终每个权重都训练过，而同一时刻只有一小部分有梯度与动量；结果是普通的 '
            'checkpoint。'),
        'memory': '词嵌入、输出头与 n 个 block 的梯度与动量；block 冻结时其动量被丢弃。',
        'not_where': '训练太短、轮不到每个 block 时；--deepspeed 与 --fsdp（会拒绝）。多进程时只有优化器状态变小。',
        'pitfall': '词嵌入始终训练：小模型里它占了大部分。',
    },
    'badam': {
        'what': '按顺序一次一个 block。是只有一个 block 的梯度与动量的全参训练：这里训练普通权重最省的方法。',
        'memory': '权重，加上单个 block 的梯度与动量。',
        'not_where': (
            '新 token 或新语言（词嵌入保持冻结）；总步数不够每个 block 各 k 步时；--deepspeed 与 --fsdp（会拒绝）。'),
    },
    'galore': {
        'what': (
            '动量位于每个梯度的小子空间里的 AdamW，子空间隔一段时间重新计算。训练全部权重，状态只是 AdamW 的一部分'
            '。'),
        'memory': (
            '每个矩阵 2 n r + m r 个数（m <= n），而不是 2 m n。用 --galore_optim_per_parameter true 时梯度也随到随'
            '丢。'),
        'not_where': '要求每步都快而间隔又短时：每个间隔要分解所有梯度。--deepspeed 与 --fsdp（会拒绝）。',
        'pitfall': '--galore_rank 取模型宽度的四分之一左右。',
    },
    'q_galore': {
        'what': '状态只有四分之一的 GaLore，分解也更少。论文的四部分中实现了三部分；权重不以 INT8 保存。',
        'memory': '动量 2 n r 字节，4 比特的基 m r / 2 字节。',
        'not_where': '同 galore；层很小时（不足 4096 个数的状态仍为 float32）。',
    },
    'apollo': {
        'title': 'APOLLO 与 APOLLO-Mini',
        'what': (
            'AdamW 主要决定每个通道步长的大小，为此随机投影就够了。不需要分解；秩为 1 的 Mini 只占普通 SGD 的显存。'),
        'memory': '每个矩阵 2 n r + 1 个数，Mini 2 n + 1；投影由种子产生，不保存。',
        'not_where': '--deepspeed 与 --fsdp（会拒绝）。',
    },
    'muon': {
        'what': (
            '把每一步正交化，使少见的方向与常见的学得一样多：更少的步数达到同样的损失。用于隐藏层矩阵；词嵌入、输出'
            '头与向量用 AdamW。也可配适配器。'),
        'memory': '每个矩阵 m n 个数，是 AdamW 的一半。',
        'not_where': '秩为 1 的适配器；低于 1e-5 的学习率；--deepspeed 与 --fsdp（会拒绝）。',
    },
    'neftune': {
        'what': '训练时给词嵌入加噪声，可与任何方法同用。论文发现小数据指令微调后回答更长、更受欢迎。',
        'memory': '没有：它没有权重。',
        'not_where': '必须精确的事实与格式；继续预训练。',
        'pitfall': 'L 是该行自己的长度，不论是否填充、是否多行共用一条序列。',
    },
    'qlora': {
        'what': (
            '在 4 或 8 位的权重上训练 LoRA（或大多数其他适配器）：能放下大四倍的模型。checkpoint 是普通的适配器，'
            '--merge_lora true 合并到 16 位权重上。'),
        'memory': (
            '4 位时每个冻结的权重约 0.52 字节，词嵌入与输出头 16 位；适配器照常。每次乘法临时还原一层的 16 位权重。'),
        'not_where': '16 位放得下时：更快，梯度也更准。全参训练、--deepspeed zero3 与 --fsdp（会拒绝）。',
        'pitfall': '哪些方法可用于哪些权重，见[在量化权重上训练](../quantised_training_zh.md)。',
    },
    'scetuning': {
        'what': '在扩散 UNet 的跳跃连接上加小网络：图像的风格与控制，只能在 Python 中使用。梯度只经过解码器。',
        'memory': '每个跳跃连接 2 down_ratio dim^2 个权重、每个 16 字节；不保留编码器的激活。',
        'not_where': '没有跳跃连接的模型；需要合并时（会拒绝）。',
    },
    'visual_prompt': {
        'title': '视觉 prompt（Visual prompt tuning）',
        'what': (
            '在编码器（如 ViT）所选各层的 token 之间加入可学习的 token，只能在 Python 中使用。语言模型请用 '
            'prompt_tuning。'),
        'memory': '每层 prompt_length dim 个权重、每个 16 字节；序列长出同样多的 token。',
        'not_where': '语言模型；需要合并时（会拒绝）；要求起点等于原模型时。',
        'pitfall': '读取第一个 token 的模型要用 extract_embedding=True 或 attach_front=False。',
    },
}

LORA = {
    'rsLoRA': (
        '缩放随秩的平方根下降，因此大秩（64 以上）与小秩学得一样快。alpha 的最佳值也随之不同：秩 64、alpha 32 时缩'
        '放为 4，而不是 0.5。'),
    'DoRA': (
        '权重每一行的方向与长度分开训练，小秩时更接近全参训练。每步要计算整个权重的范数：明显更慢，显存更多。8 位权'
        '重上需要 GPU。'),
    'LoRA+': (
        '从零开始的 B 用比 A 大的学习率。常用 10 到 16；同时把 --learning_rate 略微调低。可配各种 AdamW 与 Muon。'),
    'PiSSA': (
        '训练每个权重的主方向，冻结其余部分：比从零开始收敛快。精确分解要几分钟，pissa_niter_16 只要几秒。保存的内'
        '容适用于原来的基座，是两倍秩的 LoRA。与 olora、eva、corda、lora-ga 一样需要完整的权重：会拒绝 ZeRO-3 与 '
        'FSDP；会改变基座的也拒绝量化权重。'),
    'OLoRA': '正交的起点，计算比 PiSSA 便宜。保存方式同 PiSSA。',
    'LoftQ': (
        '用于低位数的模型：适配器从量化丢掉的部分开始，训练的起点因此更接近 16 位的模型。适配器属于这一量化基座：加'
        '载到别的基座或合并进 16 位权重会被拒绝。详见[在量化权重上训练](../quantised_training_zh.md#方法)。'),
    'EVA': '由数据决定哪些方向重要，秩移到解释得最多的层（--eva_rho）。起点是原模型，基座不变。',
    'CorDA': '`--corda_method ipm` 调整数据用得最多的方向，kpm 调整用得最少的，以保留其中的知识。保存方式同 PiSSA。',
    'LoRA-GA': (
        '第一步的方向与全参训练一致。所有被适配权重的梯度会短时间同时占用显存，与这些权重一样大。保存方式同 PiSSA。'),
}

# the help of a flag in English (without the name of its method) -> in Chinese
MEANINGS = {
    'Rank of the adapter matrices.': '适配器矩阵的秩。',
    'The adapter is scaled by alpha / rank.': '适配器按 alpha / 秩缩放。',
    'Dropout before the adapter.': '适配器之前的 dropout。',
    'Which biases are trained too: all, or those of modules with an adapter (lora_only).':
        '同时训练哪些偏置：全部（all），或带适配器的模块的（lora_only）。',
    'learning rate of the B matrices over that of A; 10 to 16 is usual.':
        'B 的学习率与 A 的学习率之比；常用 10 到 16。',
    'learning rate of adapters on embeddings.': '词嵌入上的适配器的学习率。',
    'Scale by alpha / sqrt(rank) (rsLoRA).': '按 alpha / sqrt(秩) 缩放（rsLoRA）。',
    'Train magnitude and direction apart (DoRA).': '长度与方向分开训练（DoRA）。',
    'Start of the adapter: true, false, gaussian, orthogonal, mica, pissa, pissa_niter_N, olora, with '
    '--quant_bits loftq, or from training rows: eva, corda, lora-ga; for miss true or bat. docs/lora.md':
        '初始化：true、false、gaussian、orthogonal、mica、pissa、pissa_niter_N、olora，与 --quant_bits 同用的 '
        'loftq，或由训练数据得出：eva、corda、lora-ga；miss 为 true 或 bat。见 docs/lora_zh.md。',
    'JSON map of other ranks: {"q_proj": 16, "layers.0..*": 4}. A key is a regular expression for the end '
    'of a module name; the first counts.':
        '其他秩的 JSON：{"q_proj": 16, "layers.0..*": 4}。键是匹配模块名结尾的正则表达式，先匹配的生效。',
    'JSON map of other alphas, written like --lora_rank_pattern.': '其他 alpha 的 JSON，写法同 --lora_rank_pattern。',
    'parameters that get an adapter though they are no modules: EXPERTS (the weights of all experts) or '
    'names like mlp.experts.down_proj.':
        '不是模块但也加适配器的参数：EXPERTS（全部专家的权重）或 mlp.experts.down_proj 这样的名字。',
    'rows in a batch whose gradient is taken.': '求梯度时每批的行数。',
    'such batches.': '批数。',
    'longer rows are cut.': '更长的行会被截断。',
    'which singular vectors of the gradient go to A and which to B.': '梯度的哪些奇异向量给 A，哪些给 B。',
    'how A and B are scaled at the start.': 'A 与 B 的初始缩放方式。',
    'gamma of the stable scale; larger starts smaller.': 'stable 缩放的 gamma；越大起点越小。',
    'training rows that it looks at, again and again until it settles.': '反复查看直到收敛的训练数据行数。',
    'rows at once.': '每次的行数。',
    'ranks go up to rho times --lora_rank, their sum stays; 1 keeps them equal.':
        '一层的秩最多为 --lora_rank 的 rho 倍，总和不变；1 使各层相等。',
    'training rows that it looks at.': '查看的训练数据行数。',
    'adapt what the rows use most (ipm) or least (kpm, which keeps the knowledge in them).':
        '调整数据用得最多的方向（ipm）或最少的（kpm，保留其中的知识）。',
    'average rank of a layer at the end.': '结束时每层的平均秩。',
    'rank of every layer at the start.': '开始时每层的秩。',
    'no rank is pruned in the first ones.': '开头这些步不剪枝。',
    'the ranks stay in the last ones.': '最后这些步秩不再变化。',
    'from one pruning to the next.': '两次剪枝之间的步数。',
    'smoothing of the importance.': '重要性的平滑系数。',
    'smoothing of its uncertainty.': '不确定度的平滑系数。',
    'weight of the orthogonality in the loss.': '损失中正交项的权重。',
    'target modules whose inputs are scaled, not their outputs.': '缩放输入而不是输出的目标模块。',
    'rank of the matrices.': '矩阵的秩。',
    'the adapter is scaled by alpha / rank.': '适配器按 alpha / 秩缩放。',
    'probability that a rank is left out.': '一个秩被略去的概率。',
    'probability that a layer goes without.': '一层不用适配器的概率。',
    'both factors are products.': '两个因子都是乘积。',
    'first size of the two that a size is cut into; -1: near its root.': '尺寸拆成两个时的第一个；-1：接近平方根。',
    'size of a block; divides the inputs of a layer.': '块的大小；要整除层的输入。',
    'probability that a block stays fixed.': '一个块保持不动的概率。',
    'stay within oft_eps of the identity.': '与单位阵的距离不超过 oft_eps。',
    'how far, with oft_coft.': '用 oft_coft 时的距离。',
    'one block for all of a layer.': '一层共用一个块。',
    'size of a block; 0 where boft_block_num is given.': '块的大小；给出 boft_block_num 时为 0。',
    'blocks a layer; 0 where boft_block_size is given.': '每层的块数；给出 boft_block_size 时为 0。',
    'factors of the rotation.': '旋转的因子数。',
    'reflections a layer, an even number.': '每层的反射数，偶数。',
    'make the reflections orthogonal.': '使各反射相互正交。',
    'rank of the shared matrices.': '共享矩阵的秩。',
    'seed of the shared matrices.': '共享矩阵的随机种子。',
    'dropout before the adapter.': '适配器之前的 dropout。',
    'start of the vector d.': '向量 d 的初值。',
    'rank of one basis; smaller trains more.': '一个基的秩；越小训练的参数越多。',
    'seed of the bases.': '基的随机种子。',
    'bases of -1, 0 and 1.': '基由 -1、0、1 组成。',
    'vectors in the bank.': '向量组的向量数。',
    'length of one; divides inputs and outputs of a layer.': '向量的长度；要整除层的输入与输出。',
    'vectors in a mixture.': '混合所用的向量数。',
    'coefficients a layer.': '每层的系数个数。',
    'scale of the difference.': '差值的缩放。',
    'size of a block; divides inputs and outputs of a layer.': '块的大小；要整除层的输入与输出。',
    'start of the bound.': '界的初值。',
    'rank of all blocks together.': '所有块合计的秩。',
    'blocks a side; divides gralora_rank.': '每边的块数；要整除 gralora_rank。',
    'trains as many weights as a LoRA of this rank.': '训练的参数与该秩的 LoRA 一样多。',
    'seed of their places.': '位置的随机种子。',
    'numbers a pair and outcome.': '每对输出的参数个数。',
    'outputs in which pairs are made; divides the outputs of a layer.': '在多少个输出内配对；要整除层的输出。',
    'rank of what is low-rank.': '低秩部分的秩。',
    'form of what multiplies the weight and of what is added to it.': '乘在权重上与加到权重上的部分的形式。',
    'form of what brings the weight to the bias.': '把权重带入偏置的部分的形式。',
    'form of what changes the bias.': '改变偏置的部分的形式。',
    'rank of what is replaced.': '被替换部分的秩。',
    'how it is projected out; qr is orthogonal.': '移除时的投影方式；qr 为正交投影。',
    'inner width of the network.': '网络的内部宽度。',
    'layers on either side of its middle.': '中间两侧的层数。',
    'nonlinear function, by its name in transformers.': '非线性函数，用 transformers 中的名字。',
    'singular vectors that are rotated.': '被旋转的奇异向量数。',
    'keep the rotation orthogonal.': '保持旋转正交。',
    'train magnitudes before the rotation.': '训练旋转之前的幅度。',
    'train magnitudes behind it.': '训练旋转之后的幅度。',
    'share of entries that stay frozen.': '保持冻结的元素比例。',
    'train the largest entries; false: the smallest.': '训练最大的元素；false：最小的。',
    'rank of a LoRA beside it; default: none.': '旁边 LoRA 的秩；默认没有。',
    'singular vectors of a layer.': '每层的奇异向量数。',
    'trained numbers a vector.': '每个向量训练的数。',
    '0 is a vector for each layer, 1 one for all.': '0：每层一个向量；1：全部共用一个。',
    'seed of the projections.': '投影的随机种子。',
    'trained numbers of all layers together.': '所有层合计训练的数。',
    'tokens that see each other in training, over all of a row.': '训练时互相可见的 token 占一行的比例。',
    'positions in front of each row.': '每行前面的位置数。',
    'start as random words, random numbers, or prompt_tuning_init_text.':
        '起点：随机的词、随机数，或 prompt_tuning_init_text。',
    'the text to start as, repeated or cut to fit.': '起点的文本，按长度重复或截断。',
    'network that makes them.': '产生它们的网络。',
    'its inner width; default: the width of the model.': '其内部宽度；默认为模型的宽度。',
    'layers of the LSTM.': 'LSTM 的层数。',
    'dropout in the LSTM.': 'LSTM 中的 dropout。',
    'keys and values in front of each row.': '每行前面的键与值的个数。',
    'a small network makes them.': '由一个小网络产生。',
    'its inner width.': '其内部宽度。',
    'blocks that are added.': '增加的 block 数。',
    'groups of blocks, each followed by new ones; default: as many as new blocks.':
        'block 的组数，每组之后插入新的；默认与新 block 数相同。',
    'name of the list of blocks; default: the largest list of the model.':
        'block 列表的名字；默认为模型中最大的列表。',
    'names of the layers of a block that write to the hidden state; default: the usual ones.':
        'block 中写入隐藏状态的层名；默认为常见的名字。',
    'blocks behind which the hidden state is edited, from 0; default: all.':
        '在哪些 block 之后编辑隐藏状态，从 0 数；默认全部。',
    'dimensions of the subspace in which it is edited.': '编辑所在子空间的维数。',
    'the kind of edit, by its name in pyreft.': '编辑的类型，用 pyreft 中的名字。',
    'JSON map with dropout, act_fn and add_bias.': '含 dropout、act_fn、add_bias 的 JSON。',
    'width of the hidden state; default: that of the normalisations of a block.':
        '隐藏状态的宽度；默认取 block 的归一化层的宽度。',
    'activation of the small network.': '小网络的激活函数。',
    'size of the small network in between.': '小网络中间的大小。',
    'start of the mixture; sigmoid(alpha) is the share of the model itself.':
        '混合的起点；sigmoid(alpha) 是模型自身的份额。',
    'size of its small networks in between.': '各小网络中间的大小。',
    'parameters whose names start so stay fixed.': '名字以此开头的参数不训练。',
    'fraction of the parameters fixed, from the input up.': '从输入端起不训练的参数比例。',
    'parameters in whose names this regular expression is found stay fixed.':
        '名字中能找到该正则表达式的参数不训练。',
    'parameters whose names start so are trained though frozen above.': '名字以此开头的参数即使在上面被冻结也训练。',
    'those are trained though frozen above.': '匹配的参数即使在上面被冻结也训练。',
    'train nothing of the language model.': '不训练语言模型。',
    'Train nothing of the towers for images, video and sound; false puts adapters on them, or trains them '
    'in full training.':
        '不训练图像、视频、声音的编码塔；false 给它们加适配器，全参训练时则训练它们。',
    'The same for what is between a tower and the language model.': '编码塔与语言模型之间的部分同理。',
    'so many random blocks are trained at a time, with embeddings and head; 0 is off.':
        '每次随机训练的 block 数，连同词嵌入与输出头；0 为关闭。',
    'from one draw of blocks to the next.': '两次抽取之间的步数。',
    'so many steps on one block, then the next; 0 is off.': '每个 block 训练的步数，之后换下一个；0 为关闭。',
    'order of the blocks; descending begins at the output.': 'block 的顺序；descending 从输出端开始。',
    'AdamW with its moments in a small space of the gradient; the same as --optim galore.':
        '动量位于梯度小子空间里的 AdamW；同 --optim galore。',
    'size of that space.': '子空间的大小。',
    'modules whose weights are projected; default: every linear layer but the head.':
        '权重被投影的模块；默认为除输出头外的所有线性层。',
    'project the embeddings, too.': '词嵌入也投影。',
    'from one decomposition of a gradient to the next.': '两次分解梯度之间的步数。',
    'scale of a projected step.': '投影后的步长的缩放。',
    'side that is projected. std: the one that leaves the smaller state.': '投影的一侧。std：状态更小的一侧。',
    'step each weight during the backward and drop its gradient at once. Needs one micro-batch a step, no '
    'clipping and one process.':
        '在反向传播中更新每个权重并立即丢弃其梯度。要求每步一个微批、不裁剪、单进程。',
    '8-bit moments, and fewer decompositions where they agree.': '8 比特动量，彼此一致时减少分解。',
    'keep the projection in few bits.': '用低比特保存投影。',
    'so many.': '比特数。',
    'numbers that share a scale.': '共用一个缩放系数的数的个数。',
    'mean cosine of the last decompositions from which the gap grows.': '最近几次分解的平均余弦达到此值时间隔增大。',
    'factor by which it grows.': '增大的倍数。',
    'decompositions that are compared.': '参与比较的分解次数。',
    'size of the random space; default: 256, for apollo_mini 1.': '随机子空间的大小；默认 256，apollo_mini 为 1。',
    'its root scales a step; default: 1, for apollo_mini 128.': '其平方根缩放步长；默认 1，apollo_mini 为 128。',
    'from one random space to the next.': '两次更换随机子空间之间的步数。',
    'momentum of the hidden matrices.': '隐藏层矩阵的动量系数。',
    'Newton-Schulz iterations.': 'Newton-Schulz 迭代次数。',
    'scale of a step. match_rms_adamw: so that a learning rate of AdamW fits.':
        '步长的缩放。match_rms_adamw：使 AdamW 的学习率同样适用。',
    'magnitude of the noise on embeddings; 5 is usual.': '词嵌入噪声的大小；常用 5。',
    'Bits of a weight: 4 or 8 with bnb; 8, 4, 3, 2 or 1 with hqq. Default, and 0: weights as they are.':
        '权重的位数：bnb 为 4 或 8；hqq 为 8、4、3、2、1。默认与 0：不量化。',
    'Who quantises: bitsandbytes or HQQ. Default with --quant_bits: bnb for 4 and 8, else hqq. A checkpoint '
    'that is quantised already (GPTQ, AWQ, bitsandbytes) is just named as --model.':
        '由谁量化：bitsandbytes 或 HQQ。有 --quant_bits 时默认：4 和 8 位用 bnb，其余用 hqq。已经量化的 '
        'checkpoint（GPTQ、AWQ、bitsandbytes）直接作为 --model。',
    'The 16 values of 4-bit weights.': '4 位权重的 16 个取值。',
    'Quantise the scales of 4-bit weights too.': '对 4 位权重的缩放系数再量化。',
    'Type that 4-bit weights are multiplied in. auto: that of the model.': '4 位权重做乘法的类型。auto：同模型。',
    'Type of the tensors that 4-bit weights are packed in. Default: uint8.':
        '4 位权重打包所用张量的类型。默认 uint8。',
    'Groups of HQQ lie along inputs (1) or outputs (0).': 'HQQ 的分组沿输入（1）或输出（0）。',
    'full names in order, or an expression; a list of modules means its last one. By default every residual '
    'layer of the decoder of a UNet of diffusers (mode ``decoder``).':
        '按顺序的完整名字，或正则表达式；模块列表指其最后一个。默认为 diffusers 的 UNet 解码器的每个残差层（'
        'decoder 模式）。',
    'channels of the skip connections, one for all or one for each target; by default seen from the layers.':
        '跳跃连接的通道数，共用一个或每个目标一个；默认从各层看出。',
    'as many modules as targets, in the same order, whose outputs are the hints.':
        '与目标同样多、同样顺序的模块，其输出作为提示信号。',
    '``decoder``, ``encoder`` or ``identity`` (as encoder).': 'decoder、encoder 或 identity（同 encoder）。',
    '``SCEAdapter``, the only one.': 'SCEAdapter，只有这一种。',
    'size in between as a share of dim.': '中间的大小占 dim 的比例。',
    'the layers, in the order in which they run; by default every block.': '各层，按运行顺序；默认每个 block。',
    'size of the hidden states, or one for each layer; by default seen from each layer.':
        '隐藏状态的大小，或每层一个；默认从各层看出。',
    'where they are in the call of a layer: index or keyword; by default the first input.':
        '它们在层的调用中的位置：序号或关键字；默认第一个输入。',
    'where the attention mask is (None: there is none, or it is not given). It becomes longer in its last '
    'dimension, and in the one before where that counts the same tokens.':
        '注意力掩码的位置（None：没有或不传入）。它的最后一维会变长；倒数第二维若对应同样的 token 也变长。',
    'what the mask has for the prompt: 0 where masks are added, true or 1 where they choose.':
        '掩码对提示的取值：相加的掩码为 0，选择的掩码为 true 或 1。',
    'tokens in each layer.': '每层的 token 数。',
    'they come before the others. A model that reads its first token (the class token of a ViT) wants False '
    'or ``extract_embedding``.':
        '放在其他 token 之前。读取第一个 token（ViT 的 class token）的模型要用 False 或 extract_embedding。',
    'take the prompt out again behind each layer.': '每层之后再把提示取出。',
}
