"""What the pages of docs/tuners say in every language: formulas with shapes, papers, examples. Data only."""

PAGES = {
    'lora': {
        'title': 'LoRA',
        'paper': 'Hu et al. 2021, arXiv 2106.09685',
        'formula': (
            'y = W x + s B A x          s = alpha / r',
            'W [out, in] frozen, A [r, in], B [out, r]; B starts at zero',
        ),
        'start': 'base',
        'config': ('peft', 'LoraConfig', {
            'r': 8,
            'lora_alpha': 32,
            'target_modules': 'all-linear',
        }),
        'shell': '--lora_rank 8 --lora_alpha 32',
    },
    'lora_llm': {
        'title': 'LoRA on the language model, the rest whole',
        'paper': '',
        'formula': (
            'language model: y = W x + s B A x, as lora',
            'towers and aligner: every weight trained, as copies',
        ),
        'start': 'base',
        'config': ('peft', 'LoraConfig', {
            'r': 8,
            'lora_alpha': 32,
            'target_modules': ['q_proj', 'v_proj'],
            'modules_to_save': ['norm'],
        }),
        'shell': '--lora_rank 8',
    },
    'adalora': {
        'title': 'AdaLoRA',
        'paper': 'Zhang et al. 2023, arXiv 2303.10512',
        'formula': (
            'y = W x + (alpha / r0) B diag(e) A x',
            'A [r0, in], e [r0], B [out, r0]; e starts at zero and is pruned to target_r on average',
            'loss + w mean(|A A^T - I|, |B^T B - I|)',
        ),
        'start': 'base',
        'config': ('peft', 'AdaLoraConfig', {
            'init_r': 12,
            'target_r': 8,
            'total_step': 1000,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--adalora_init_r 12 --adalora_target_r 8 --adalora_tinit 100 --adalora_tfinal 200',
    },
    'ia3': {
        'title': 'IA3',
        'paper': 'Liu et al. 2022, arXiv 2205.05638',
        'formula': (
            'y = l * (W x)          l [out], starts at one',
            'y = W (l * x)          l [in], for feed-forward layers',
        ),
        'start': 'base',
        'config': ('peft', 'IA3Config', {
            'target_modules': ['k_proj', 'v_proj', 'down_proj'],
            'feedforward_modules': ['down_proj'],
        }),
        'shell': '--ia3_feedforward_modules down_proj --learning_rate 3e-3',
    },
    'loha': {
        'title': 'LoHa',
        'paper': 'Hyeon-Woo, Ye-Bin, Oh 2022 (FedPara); LyCORIS',
        'formula': (
            "W' = W + s (A1 B1) * (A2 B2)          * is the Hadamard product, s = alpha / r",
            'A1, A2 [out, r], B1, B2 [r, in]',
        ),
        'start': 'base',
        'config': ('peft', 'LoHaConfig', {
            'r': 8,
            'alpha': 8,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--loha_rank 8 --loha_alpha 8',
    },
    'lokr': {
        'title': 'LoKr',
        'paper': 'Edalati et al. 2022 (KronA); Yeh et al. 2024 (LyCORIS)',
        'formula': (
            "W' = W + s kron(C, A B)          s = alpha / r",
            'C [out1, in1], A [out2, r], B [r, in2]; out = out1 out2, in = in1 in2',
        ),
        'start': 'base',
        'config': ('peft', 'LoKrConfig', {
            'r': 8,
            'alpha': 8,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--lokr_rank 8 --lokr_alpha 8',
    },
    'oft': {
        'title': 'OFT',
        'paper': 'Qiu et al. 2023, arXiv 2306.07280; v2: Qiu et al. 2025',
        'formula': (
            "W' = W R          R [in, in] block-diagonal, blocks (I + Q)(I - Q)^-1 of size b",
            'Q [b, b] skew-symmetric, starts at zero; the inverse is a Neumann series of five terms',
        ),
        'start': 'base',
        'config': ('peft', 'OFTConfig', {
            'oft_block_size': 32,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--oft_block_size 32',
    },
    'boft': {
        'title': 'BOFT',
        'paper': 'Liu et al. 2024, arXiv 2311.06243',
        'formula': (
            "W' = diag(s) W R_1 P_1 R_2 P_2 ... R_m          R_i block-diagonal and orthogonal, P_i permutations",
            'R_i from blocks [b, b] as in oft; s [out] is trained and starts at one',
        ),
        'start': 'base',
        'config': ('peft', 'BOFTConfig', {
            'boft_block_size': 4,
            'boft_n_butterfly_factor': 2,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--boft_block_size 4 --boft_n_butterfly_factor 2',
    },
    'hra': {
        'title': 'HRA',
        'paper': 'Yuan, Liu, Xu 2024',
        'formula': (
            "W' = W R          R = product of r reflections I - 2 u u^T / |u|^2",
            'u [in]; r is even and equal pairs cancel at the start',
        ),
        'start': 'near',
        'config': ('peft', 'HRAConfig', {
            'r': 8,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--hra_rank 8',
    },
    'vera': {
        'title': 'VeRA',
        'paper': 'Kopiczko, Blankevoort, Asano 2024, arXiv 2310.11454',
        'formula': (
            "W' = W + diag(b) B diag(d) A",
            'A [r, in], B [out, r] random, frozen and shared by all layers; d [r], b [out] trained, b starts at zero',
        ),
        'start': 'base',
        'config': ('peft', 'VeraConfig', {
            'r': 256,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--vera_rank 256 --learning_rate 1e-3',
    },
    'randlora': {
        'title': 'RandLoRA',
        'paper': 'Albert et al. 2025',
        'formula': (
            "W' = W + s sum_i B_i diag(l_i) A diag(g_i)          s = alpha / r",
            'B_i, A random and frozen, as many as give full rank; l_i [r], g_i [min(out, in)] trained',
        ),
        'start': 'base',
        'config': ('peft', 'RandLoraConfig', {
            'r': 32,
            'randlora_alpha': 640,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--randlora_rank 32',
    },
    'vblora': {
        'title': 'VB-LoRA',
        'paper': 'Li, Han, Ji 2024',
        'formula': (
            "columns of LoRA's A and B = mixtures of the top k of h vectors [b] of a bank",
            'the bank [h, b], shared by all layers, and the logits of the mixtures are trained',
        ),
        'start': 'other',
        'config': ('peft', 'VBLoRAConfig', {
            'r': 4,
            'num_vectors': 64,
            'vector_length': 64,
            'topk': 2,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--vblora_rank 4 --vblora_vector_length 256',
    },
    'fourierft': {
        'title': 'FourierFT',
        'paper': 'Gao et al. 2024, arXiv 2405.03003',
        'formula': (
            "W' = W + s Re(ifft2(F))",
            'F [out, in] is zero but for n random entries, which are trained and start normal',
        ),
        'start': 'other',
        'config': ('peft', 'FourierFTConfig', {
            'n_frequency': 1000,
            'scaling': 300.0,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--fourier_n_frequency 2000 --fourier_scaling 300',
    },
    'waveft': {
        'title': 'WaveFT',
        'paper': 'Bilican et al. 2025',
        'formula': (
            "W' = W + s iwt(F)          iwt is the inverse wavelet transform",
            'F [out, in] is zero but for n random entries, which are trained and start at zero',
        ),
        'start': 'base',
        'config': ('peft', 'WaveFTConfig', {
            'n_frequency': 1000,
            'scaling': 25.0,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--waveft_n_frequency 2592',
    },
    'c3a': {
        'title': 'C3A',
        'paper': 'Chen et al. 2024',
        'formula': (
            "W' = W + C          C of circulant blocks [b, b], each made from b trained weights",
            'a block is applied by FFT in O(b log b); blocks start Xavier-uniform',
        ),
        'start': 'other',
        'config': ('peft', 'C3AConfig', {
            'block_size': 64,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--c3a_block_size 256',
    },
    'miss': {
        'title': 'MiSS (Bone)',
        'paper': 'Kang, Yin 2024',
        'formula': (
            'y = W x + M^T sum(x)          x [in] summed over in / r pieces of size r',
            'M [r, out], starts at zero; with --init_weights bat: W + W M + M by blocks',
        ),
        'start': 'base',
        'config': ('peft', 'MissConfig', {
            'r': 16,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--lora_rank 16',
    },
    'delora': {
        'title': 'DeLoRA',
        'paper': 'Bini, Girrbach, Akata 2025',
        'formula': (
            "W' = W + (l / r) |W| B diag(1 / (|b_i| |a_i|)) A",
            'A [r, in], B [out, r]; l is one trained number a layer',
        ),
        'start': 'base',
        'config': ('peft', 'DeloraConfig', {
            'r': 8,
            'delora_lambda': 15,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--delora_rank 8 --delora_lambda 15',
    },
    'hira': {
        'title': 'HiRA',
        'paper': 'Huang et al. 2025',
        'formula': (
            "W' = W + W * (B A)          * is the Hadamard product",
            'A [r, in], B [out, r]; B starts at zero',
        ),
        'start': 'base',
        'config': ('peft', 'HiraConfig', {
            'r': 32,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--hira_rank 32',
    },
    'gralora': {
        'title': 'GraLoRA',
        'paper': 'Jung et al. 2025',
        'formula': (
            'W cut into k x k blocks, each with a LoRA of rank r / k',
            'as many weights as a LoRA of rank r, up to k times its rank',
        ),
        'start': 'base',
        'config': ('peft', 'GraloraConfig', {
            'r': 32,
            'alpha': 64,
            'gralora_k': 2,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--gralora_rank 64 --gralora_alpha 128 --gralora_k 2',
    },
    'shira': {
        'title': 'SHiRA',
        'paper': 'Bhardwaj et al. 2024',
        'formula': (
            "W' = W + S",
            'S [out, in] is zero but for r (out + in) trained entries at random places, which start at zero',
        ),
        'start': 'base',
        'config': ('peft', 'ShiraConfig', {
            'r': 16,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--shira_rank 32',
    },
    'road': {
        'title': 'RoAd',
        'paper': 'Liao, Monz 2024',
        'formula': (
            "h1' = a (cos t h1 - sin t h2),  h2' = a (sin t h1 + cos t h2)",
            'for each pair (h1, h2) of outputs;',
            'a, t trained: one, two or four of each a pair (road_1, road_2, road_4)',
        ),
        'start': 'base',
        'config': ('peft', 'RoadConfig', {
            'variant': 'road_1',
            'group_size': 64,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--road_variant road_1',
    },
    'ln_tuning': {
        'title': 'LN-tuning',
        'paper': 'Zhao et al. 2024',
        'formula': (
            'y = g * norm(x) + b',
            'g [hidden] (and b, where there is one) of every normalisation is trained as a copy',
        ),
        'start': 'base',
        'config': ('peft', 'LNTuningConfig', {
            'target_modules': ['input_layernorm', 'post_attention_layernorm', 'norm'],
        }),
        'shell': '--learning_rate 1e-3',
    },
    'glora': {
        'title': 'GLoRA',
        'paper': 'Chavan et al. 2023',
        'formula': (
            "W' = W + W * A + B,   b' = b + b * D + E + W C",
            'each of A to E low-rank, a vector, a constant or left out',
        ),
        'start': 'base',
        'config': ('peft', 'GloraConfig', {
            'r': 8,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--glora_rank 8',
    },
    'deft': {
        'title': 'DEFT',
        'paper': '',
        'formula': (
            "W' = (I - P relu(P)^T) W + P R",
            'P [out, r], R [r, in] trained; R starts so that W is unchanged up to rounding',
        ),
        'start': 'near',
        'config': ('peft', 'DeftConfig', {
            'r': 8,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--deft_rank 8',
    },
    'peanut': {
        'title': 'PEANuT',
        'paper': '',
        'formula': (
            "W' = W + s f(W)",
            'f, over the columns of W: A [r, out], depth layers [r, r] on either side, B [out, r], nonlinear between',
        ),
        'start': 'base',
        'config': ('peft', 'PeanutConfig', {
            'r': 32,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--peanut_rank 32',
    },
    'psoft': {
        'title': 'PSOFT',
        'paper': '',
        'formula': (
            "W' = W + (alpha / r) B (R - I) A",
            'A [r, in], B [out, r] from the first r singular vectors of W, frozen;',
            'R [r, r] orthogonal, between two vectors, trained',
        ),
        'start': 'base',
        'config': ('peft', 'PsoftConfig', {
            'r': 32,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--psoft_rank 32',
    },
    'supertuning': {
        'title': 'Super-Tuning',
        'paper': 'arXiv 2607.09287',
        'formula': (
            "W' = W + S",
            'S [out, in] is zero but for a share 1 - sparsity of entries, which are trained:',
            'the largest (or smallest) of W',
        ),
        'start': 'base',
        'config': ('peft', 'SupertuningConfig', {
            'sparsity': 0.99,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--supertuning_sparsity 0.99',
    },
    'tinylora': {
        'title': 'TinyLoRA',
        'paper': 'arXiv 2602.04118',
        'formula': (
            "W' = W + B R A,   R = sum_i v_i P_i          [r, r]",
            'A, B from the first r singular vectors and values of W; P random and frozen; v [u] trained',
        ),
        'start': 'base',
        'config': ('peft', 'TinyLoraConfig', {
            'r': 2,
            'u': 64,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--tinylora_u 64 --learning_rate 1e-3',
    },
    'unilora': {
        'title': 'Uni-LoRA',
        'paper': 'arXiv 2506.00799',
        'formula': (
            "all entries of LoRA's A, B of all layers = entries of one vector [theta]",
            'each at a random, frozen index; only the vector is trained',
        ),
        'start': 'other',
        'config': ('peft', 'UniLoraConfig', {
            'r': 4,
            'theta_d_length': 256,
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--unilora_theta_d_length 256 --learning_rate 1e-3',
    },
    'beft': {
        'title': 'BEFT',
        'paper': '',
        'formula': (
            'y = W x + b          b [out], starts at zero, also where the layer has no bias',
        ),
        'start': 'base',
        'config': ('peft', 'BeftConfig', {
            'target_modules': ['q_proj', 'v_proj'],
        }),
        'shell': '--learning_rate 1e-3',
    },
    'longlora': {
        'title': 'LongLoRA',
        'paper': 'Chen et al. 2023, arXiv 2309.12307',
        'formula': (
            'y = W x + s B A x, embeddings and normalisations whole',
            'training: a row of n tokens attends within groups of g = ceil(ratio n) tokens,',
            'in half of the heads shifted by g // 2',
        ),
        'start': 'base',
        'config': ('peft', 'LoraConfig', {
            'r': 8,
            'target_modules': ['q_proj', 'k_proj', 'v_proj', 'o_proj'],
            'modules_to_save': ['embed_tokens', 'norm'],
        }),
        'code': (
            'train_with_shifted_groups(model)',
            'swift.tuners.methods.longlora', 'train_with_shifted_groups'),
        'shell': '--max_length 32768 --longlora_group_size_ratio 0.25 --gradient_checkpointing true',
    },
    'prompt_tuning': {
        'title': 'Prompt tuning',
        'paper': 'Lester, Al-Rfou, Constant 2021, arXiv 2104.08691',
        'formula': (
            '[P, x]          P [v, D] trained embeddings in front of those of the row, x [n, D]',
        ),
        'start': 'other',
        'config': ('peft', 'PromptTuningConfig', {
            'task_type': 'CAUSAL_LM',
            'num_virtual_tokens': 20,
        }),
        'shell': '--prompt_tuning_virtual_tokens 20 --learning_rate 0.3',
    },
    'p_tuning': {
        'title': 'P-tuning',
        'paper': 'Liu et al. 2021, arXiv 2103.10385',
        'formula': (
            '[f(E), x]          E [v, D] trained, f an MLP of three layers, or a bidirectional LSTM with an MLP',
        ),
        'start': 'other',
        'config': ('peft', 'PromptEncoderConfig', {
            'task_type': 'CAUSAL_LM',
            'num_virtual_tokens': 20,
            'encoder_hidden_size': 128,
        }),
        'shell': '--p_tuning_virtual_tokens 20 --learning_rate 1e-3',
    },
    'prefix_tuning': {
        'title': 'Prefix tuning',
        'paper': 'Li, Liang 2021, arXiv 2101.00190; P-tuning v2: Liu et al. 2022, arXiv 2110.07602',
        'formula': (
            'attention over [K_p, K], [V_p, V]          K_p, V_p: [L, 2, heads, v, d], trained',
            'with the projection they are W2 tanh(W1 E), E [v, heads d]',
        ),
        'start': 'other',
        'config': ('peft', 'PrefixTuningConfig', {
            'task_type': 'CAUSAL_LM',
            'num_virtual_tokens': 20,
        }),
        'shell': '--prefix_tuning_virtual_tokens 20 --learning_rate 1e-3',
    },
    'part': {
        'title': 'Part',
        'paper': '',
        'formula': (
            'y = f(x; W + dW)          all weights W of the chosen modules',
        ),
        'start': 'base',
        'config': ('swift.tuners.methods.part', 'PartConfig', {
            'target_modules': ['norm', 'lm_head'],
        }),
        'shell': '--target_modules model.norm lm_head --learning_rate 1e-5',
    },
    'llamapro': {
        'title': 'LLaMA Pro',
        'paper': 'Wu et al. 2024, arXiv 2401.02415',
        'formula': (
            'L blocks in G groups, behind each copies of its last P blocks: y = x + attention + mlp',
            'the output projections of a copy start at zero, so that y = x',
        ),
        'start': 'base',
        'config': ('swift.tuners.methods.llamapro', 'LLaMAProConfig', {
            'num_new_blocks': 2,
        }),
        'shell': '--llamapro_num_new_blocks 4 --learning_rate 5e-5',
    },
    'reft': {
        'title': 'ReFT (LoReFT)',
        'paper': 'Wu et al. 2024, arXiv 2404.03592',
        'formula': (
            'LoreftIntervention     h + R^T (f(W h + b) - R h)',
            'NoreftIntervention     h + V^T (f(W h + b) - V h)',
            'ConsreftIntervention   h + R^T (b - R h)',
            'LobireftIntervention   h + R^T b',
            'DireftIntervention     h + R^T f(W h + b)',
            'NodireftIntervention   h + V^T f(W h + b)',
            'h [d] behind a block; R [r, d] orthonormal, V, W [r, d], b [r]',
        ),
        'start': 'other',
        'config': ('swift.tuners.methods.reft', 'ReftConfig', {
            'layers': [0, 1],
            'r': 4,
        }),
        'shell': '--reft_rank 4 --learning_rate 1e-3',
    },
    'adapter': {
        'title': 'Adapter',
        'paper': 'Houlsby et al. 2019; Pfeiffer et al. 2021',
        'formula': (
            "h' = h + W_up act(W_down h + b_down) + b_up",
            'W_down [length, dim], W_up [dim, length]; W_up starts at zero',
        ),
        'start': 'base',
        'config': ('swift.tuners.methods.adapter', 'AdapterConfig', {
            'adapter_length': 64,
        }),
        'shell': '--adapter_length 128',
    },
    'side': {
        'title': 'Side-Tuning',
        'paper': 'Zhang et al. 2020',
        'formula': (
            'y = s f(x) + (1 - s) g(x)          f frozen, g the side network, s = sigmoid(alpha), alpha trained',
            'g: two linear layers (mlp), or four convolutions for images (fcn4)',
        ),
        'start': 'other',
        'config': ('swift.tuners.methods.side', 'SideConfig', {
            'side_module_name': 'mlp',
        }),
        'shell': '--side_alpha 4',
    },
    'restuning': {
        'title': 'Res-Tuning',
        'paper': 'Jiang et al. 2023',
        'formula': (
            'b_0 = x_0,  b_i = s_i T_i(x_i) + (1 - s_i) V_i(b_(i-1)),  target: h + g b_L',
            'x_i outputs of the frozen blocks, without gradient; T, V: x + W_up gelu(W_down x);',
            'g [dim] starts at zero',
        ),
        'start': 'base',
        'config': ('swift.tuners.methods.restuning', 'ResTuningConfig', {
            'gated': True,
        }),
        'shell': '--restuning_length 32',
    },
    'full': {
        'title': 'Full training and freezing',
        'paper': '',
        'formula': (
            'every weight W is trained, but those that are frozen by name or share',
        ),
        'shell': '--sft_type full --learning_rate 1e-5 --freeze_parameters_ratio 0.5',
        'flags': (
            'freeze_parameters',
            'freeze_parameters_ratio',
            'freeze_parameters_regex',
            'trainable_parameters',
            'trainable_parameters_regex',
            'freeze_llm',
            'freeze_vit',
            'freeze_aligner',
        ),
    },
    'lisa': {
        'title': 'LISA',
        'paper': 'Pan et al. 2024, arXiv 2403.17919',
        'formula': (
            'every k steps: n random blocks are trained, with embeddings, head and final norm; the others are frozen',
        ),
        'code': (
            'schedule = lisa(model, activated_layers=2, step_interval=20, seed=0)',
            'swift.tuners.schedules', 'lisa'),
        'shell': '--sft_type full --lisa_activated_layers 2 --lisa_step_interval 20 --learning_rate 1e-5',
        'flags': (
            'lisa_*',
        ),
    },
    'badam': {
        'title': 'BAdam',
        'paper': 'Luo, Yu, Li 2024, arXiv 2404.02827',
        'formula': (
            'block coordinate descent: one block for k steps with Adam, then the next;',
            'embeddings, head and final norm stay',
        ),
        'code': (
            "schedule = badam(model, switch_interval=50, mode='descending', seed=0)",
            'swift.tuners.schedules', 'badam'),
        'shell': '--sft_type full --badam_switch_interval 50 --badam_switch_mode descending --learning_rate 1e-5',
        'flags': (
            'badam_*',
        ),
    },
    'galore': {
        'title': 'GaLore',
        'paper': 'Zhao et al. 2024, arXiv 2403.03507',
        'formula': (
            "W <- (1 - lr wd) W - lr scale P (M' / (sqrt(V') + eps))          M, V [r, n] of P^T G",
            'P [m, r] from the SVD of the gradient G [m, n], anew every gap steps',
        ),
        'code': (
            "optimizer = GaLoreAdamW([{'params': matrices, 'rank': 128}, {'params': others}], lr=1e-5)",
            'swift.tuners.optimizers.galore', 'GaLoreAdamW'),
        'shell': (
            '--sft_type full --use_galore true --galore_rank 128 --galore_update_proj_gap 200 --learning_rate 1e-5'),
        'flags': (
            'use_galore',
            'galore_rank',
            'galore_target_modules',
            'galore_with_embedding',
            'galore_update_proj_gap',
            'galore_scale',
            'galore_proj_type',
            'galore_optim_per_parameter',
        ),
    },
    'q_galore': {
        'title': 'Q-GaLore',
        'paper': 'Zhang et al. 2024, arXiv 2407.08296',
        'formula': (
            'GaLore with P in 4 bits, moments in 8 bits, and a gap that grows where decompositions agree',
        ),
        'code': (
            "optimizer = QGaLoreAdamW([{'params': matrices, 'rank': 128}, {'params': others}], lr=1e-5)",
            'swift.tuners.optimizers.q_galore', 'QGaLoreAdamW'),
        'shell': (
            '--sft_type full --use_galore true --galore_quantization true --galore_proj_quant true --learning_rate '
            '1e-5'),
        'flags': (
            'galore_quantization',
            'galore_proj_quant',
            'galore_proj_bits',
            'galore_proj_group_size',
            'galore_cos_threshold',
            'galore_gamma_proj',
            'galore_queue_size',
        ),
    },
    'apollo': {
        'title': 'APOLLO and APOLLO-Mini',
        'paper': 'Zhu et al. 2024, arXiv 2412.05270',
        'formula': (
            'W <- (1 - lr wd) W - lr sqrt(scale) c s G',
            's: how AdamW would scale each column (Mini: the whole matrix), read off P^T G with a random P [m, r]',
        ),
        'code': (
            "optimizer = Apollo([{'params': matrices, 'rank': 256}, {'params': others}], lr=1e-5)",
            'swift.tuners.optimizers.apollo', 'Apollo'),
        'shell': '--sft_type full --optim apollo_mini --learning_rate 1e-5',
        'flags': (
            'apollo_*',
        ),
    },
    'muon': {
        'title': 'Muon',
        'paper': 'Jordan et al. 2024; Liu et al. 2025',
        'formula': (
            'B <- mu B + (1 - mu) G,   W <- (1 - lr wd) W - lr a O',
            'O [m, n]: the orthogonal matrix nearest to (1 - mu) G + mu B, by Newton-Schulz steps',
        ),
        'code': (
            "optimizer = MuonAdamW([{'params': matrices, 'muon': True}, {'params': others}], lr=1e-4)",
            'swift.tuners.optimizers.muon', 'MuonAdamW'),
        'shell': '--sft_type full --optim muon --learning_rate 1e-4',
        'flags': (
            'muon_*',
        ),
    },
    'neftune': {
        'title': 'NEFTune',
        'paper': 'Jain et al. 2023, arXiv 2310.05914',
        'formula': (
            "x' = x + alpha / sqrt(L d) u          x [L, d] embeddings of a row, u uniform in [-1, 1]",
        ),
        'config': ('swift.tuners.methods.neftune', 'NEFTuneConfig', {
            'noise_alpha': 5.0,
        }),
        'shell': '--neftune_noise_alpha 5',
        'flags': (
            'neftune_noise_alpha',
        ),
    },
    'qlora': {
        'title': 'QLoRA',
        'paper': 'Dettmers et al. 2023, arXiv 2305.14314',
        'formula': (
            'y = dequantise(W4) x + s B A x          W4 in 4 (or 8) bits, frozen; A, B in full precision',
        ),
        'shell': '--quant_bits 4 --lora_rank 16',
        'flags': (
            'quant_bits',
            'quant_method',
            'bnb_4bit_quant_type',
            'bnb_4bit_use_double_quant',
            'bnb_4bit_compute_dtype',
            'bnb_4bit_quant_storage',
            'hqq_axis',
        ),
    },
    'scetuning': {
        'title': 'SCETuning (SCEdit)',
        'paper': 'Jiang et al. 2023',
        'formula': (
            "x' = x + W_up gelu(W_down x + b_down) + b_up",
            'x [batch, dim, height, width]: a skip connection of a UNet',
            "W_down [down_ratio dim, dim]; W_up starts at zero; with hints x' = x + T(x + c)",
        ),
        'config': ('swift.tuners.methods.scetuning', 'SCETuningConfig', {
            'tuner_mode': 'decoder',
            'down_ratio': 1.0,
        }),
        'shell': '',
    },
    'visual_prompt': {
        'title': 'Visual prompt tuning',
        'paper': 'Jia et al. 2022',
        'formula': (
            'a layer gets [P_i, x]          P_i [prompt_length, dim] trained, x [batch, n, dim]',
        ),
        'config': ('swift.tuners.methods.vpt', 'PromptConfig', {
            'prompt_length': 8,
            'extract_embedding': True,
        }),
        'shell': '',
    },
}

# chapters of the page of lora: a variant or a start, the flag that asks for it, paper, formula
LORA = (
    ('rsLoRA', '--use_rslora true', 'Kalajdzievski 2023',
     's = alpha / sqrt(r)'),
    ('DoRA', '--use_dora true', 'Liu et al. 2024, arXiv 2402.09353',
     "W' = m (W + s B A) / |W + s B A|          m [out], trained; norm of each row"),
    ('LoRA+', '--lorap_lr_ratio 16', 'Hayou, Ghosh, Yu 2024',
     'lr of B = ratio * lr of A'),
    ('PiSSA', '--init_weights pissa', 'Meng et al. 2024, arXiv 2404.02948',
     'A, B = the first r singular vectors and values of W;   W frozen = W - s B A'),
    ('OLoRA', '--init_weights olora', 'Büyükakyüz 2024',
     'A, B from the QR decomposition of W;   W frozen = W - s B A'),
    ('LoftQ', '--quant_bits 4 --init_weights loftq', 'Li et al. 2023',
     'Q = the numbers that quantised W stands for;   B A at the start = best approximation of rank r of W - Q'),
    ('EVA', '--init_weights eva', 'Paischer et al. 2024',
     "A = main directions of the layer's inputs over --eva_rows rows, B = 0"),
    ('CorDA', '--init_weights corda', 'Yang et al. 2024',
     "A, B from the SVD of W C, C the covariance of the layer's inputs"),
    ('LoRA-GA', '--init_weights lora-ga', 'Wang et al. 2024',
     'A, B from the SVD of the gradient of W over --lora_ga_iters batches'),
)
