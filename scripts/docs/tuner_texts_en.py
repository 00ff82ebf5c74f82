"""The English words of the pages of docs/tuners; see tuner_pages.py. Data only."""

TEXTS = {
    'lora': {
        'what': (
            'The first choice. A product of two thin matrices is added to each chosen layer, so that a change of '
            'low rank is learnt while the weights stay frozen. It is the best known method, merges into an '
            'ordinary checkpoint without loss, and every tool and server reads its files.'),
        'memory': (
            "r (out + in) weights a layer, about 16 bytes each with gradient and AdamW's moments. The input of a "
            'layer is kept for the backward pass, with --lora_dropout once more; nothing of the size of W is built.'),
        'not_where': (
            'Much new knowledge is to be learnt from much data: raise the rank, take llamapro, or train in full. A '
            'few thousand weights would do: ia3, vera or reft are smaller.'),
        'pitfall': (
            'A learning rate of full training (1e-5) is too small; 1e-4 is the default. When you raise the rank, '
            'keep alpha / rank (or take --use_rslora true), else the adapter is scaled down.'),
    },
    'lora_llm': {
        'what': (
            'For models that read images, video or sound: a LoRA on the language model, with towers and aligner '
            'trained whole. It is what one takes to teach a model a new kind of picture without moving its '
            'language much.'),
        'memory': (
            'As lora on the language model; 16 bytes for every weight of the towers and the aligner, which are '
            'kept twice (the frozen original and the copy).'),
        'not_where': (
            'Memory is short, or the pictures are of a usual kind: lora, with --freeze_vit false where towers '
            'should get adapters.'),
        'pitfall': 'The trained parts are saved whole, so the adapter has the size of the towers.',
    },
    'adalora': {
        'what': (
            'A LoRA in the form of a singular value decomposition, whose budget of ranks moves to the layers that '
            'need it while it trains. Take it where you would tune ranks by hand and the run is long enough (some '
            'hundred steps) to measure importance.'),
        'memory': (
            'r0 (out + in + 1) weights a layer with their 16 bytes, and three more copies of the adapter for '
            'importance, its mean and its uncertainty.'),
        'not_where': 'Runs of few steps; sharded training, which hides the gradients it needs.',
        'pitfall': (
            'The schedule counts all steps of the run. In a loop of your own RankSchedule in '
            'swift.tuners.methods.adalora must be called between optimizer.step() and zero_grad(), or nothing is '
            'pruned.'),
    },
    'ia3': {
        'what': (
            'A vector for each layer that makes its outputs larger or smaller. It was made for few-shot learning: '
            'few rows, hundreds of kilobytes to save, and hardly anything that could overfit.'),
        'memory': 'One number an output, 16 bytes each: nothing beside the activations.',
        'not_where': 'Much is to be learnt, or form and language of the answers are new.',
        'pitfall': 'The default learning rate is small for it: the paper takes 3e-3.',
    },
    'loha': {
        'what': (
            'The product, entry by entry, of two LoRAs. Its difference can have rank r squared, at twice the '
            'weights of a LoRA of rank r. It comes from image generation, where styles and faces are learnt with '
            'it.'),
        'memory': (
            '2 r (out + in) weights a layer with their 16 bytes. The difference [out, in] of a layer is built in '
            'each step, forward and backward.'),
        'not_where': 'Memory is short; quantised weights.',
    },
    'lokr': {
        'what': (
            'A Kronecker product: a small matrix tells how copies of a product of two others are put over the '
            'weight. It has full rank with fewer weights than a LoRA of rank 1, so that files are tiny.'),
        'memory': (
            'out1 in1 + r (out2 + in2) weights a layer with their 16 bytes. The difference [out, in] of a layer is '
            'built in each step.'),
        'not_where': 'Memory is short; quantised weights.',
        'pitfall': (
            'The default rank over large layers is a small share: raise the learning rate, or give '
            '--lokr_decompose_factor a small number (4 to 16), which trains more weights.'),
    },
    'oft': {
        'what': (
            'The inputs of a layer are rotated, so that lengths of its weights and angles between them stay. That '
            'keeps what the model knows, and large learning rates do less harm. It comes from image generation '
            '(subjects and control).'),
        'memory': (
            'in (b - 1) / 2 weights a layer with their 16 bytes; the rotated inputs are kept for the backward pass.'),
        'not_where': 'Speed matters: every layer does one more multiplication by blocks in each step.',
        'pitfall': 'The block size divides the inputs of every layer; larger blocks mean more weights, not less.',
    },
    'boft': {
        'what': (
            'OFT as a butterfly: small blocks with permutations between them reach rotations over the whole layer, '
            'with fewer weights than one factor of large blocks.'),
        'memory': (
            'm in b + out weights a layer (peft keeps whole blocks and a scale for each output) and their 16 '
            'bytes; rotations of size [in, in] are multiplied with the weight in each step.'),
        'not_where': 'As oft, and slower still.',
        'pitfall': (
            'Give a block size or a number of blocks, and 0 for the other; with m factors 2^(m-1) of the blocks '
            'must fit into a layer. Where peft can not build its CUDA extension (on a CPU, without ninja) it sets '
            'm to 1 with a warning.'),
    },
    'hra': {
        'what': (
            'A rotation made of a few reflections: between LoRA (the difference has low rank) and OFT (it is '
            'orthogonal), with one vector for each reflection.'),
        'memory': (
            'r in weights a layer with their 16 bytes; the reflections are multiplied into one matrix [in, in] in '
            'each step.'),
        'not_where': (
            'The base must be met to the last bit at the start: pairs cancel up to rounding, about 1e-6. Quantised '
            'weights.'),
    },
    'vera': {
        'what': (
            'All layers share one pair of random matrices; only two vectors a layer are trained. With many '
            'adapters of one model (users, tasks), each is a few hundred kilobytes of its own.'),
        'memory': (
            'r + out weights a layer with their 16 bytes. The shared matrices lie on the device once, r (largest '
            'in + largest out).'),
        'not_where': 'One small file is wanted: the shared matrices are saved beside the vectors.',
        'pitfall': 'Vectors want a learning rate about ten times that of LoRA.',
    },
    'randlora': {
        'what': (
            'A sum of random, frozen bases, scaled by trained diagonals: full rank with about the weights of a '
            'LoRA. For tasks where LoRA stays behind full training whatever its rank.'),
        'memory': (
            'About min(out, in)^2 / r + min(out, in) weights a layer, those of a LoRA of rank 32 in square layers '
            'of 2048, with their 16 bytes; the frozen bases stay on the device and the difference [out, in] is put '
            'together in each step.'),
        'not_where': 'Memory is short.',
        'pitfall': "A smaller rank means more bases and more trained weights: the other way round than LoRA's.",
    },
    'vblora': {
        'what': (
            'LoRA whose columns are mixed from one bank of vectors that all layers share. What must be kept of a '
            'finished adapter is the bank and a few indices for each column.'),
        'memory': (
            'h b weights for the bank, and h logits for every piece of a column, with their 16 bytes: while it '
            'trains it is no smaller than a LoRA of its rank.'),
        'not_where': 'Layers whose sizes --vblora_vector_length does not divide; a start that is the base model.',
    },
    'fourierft': {
        'what': (
            'The difference is learnt as a few frequencies: n numbers a layer, whatever its size. For adapters of '
            'some tens of kilobytes.'),
        'memory': (
            'n weights a layer with their 16 bytes; the difference [out, in] is built by an inverse Fourier '
            'transform in each step.'),
        'not_where': 'Memory is short; a start that is the base model (waveft starts there).',
        'pitfall': (
            '--fourier_scaling and the learning rate act together: with a small scale hardly anything is learnt.'),
    },
    'waveft': {
        'what': (
            'FourierFT with wavelets, which are local in the weight, and with a start at the base model. n may be '
            'any number, so that the size of an adapter is chosen to the weight.'),
        'memory': 'n weights a layer with their 16 bytes; the difference [out, in] is built in each step.',
        'not_where': 'Memory is short; compiled blocks (its transform breaks the graph).',
    },
    'c3a': {
        'what': (
            'Circular convolutions: high rank, and as cheap as a fast Fourier transform. The block size sets '
            'weights and rank together: smaller blocks, more weights.'),
        'memory': 'out in / b weights a layer with their 16 bytes; nothing of the size of W is built.',
        'not_where': 'Layers whose sizes --c3a_block_size does not divide; a start that is the base model.',
    },
    'miss': {
        'what': (
            'One small matrix a layer, applied to the sum of pieces of the input. The papers report quicker '
            "convergence than LoRA's at less memory and time. Bone is its former name; --sft_type bone is the same."),
        'memory': (
            'r out weights a layer with their 16 bytes, half of a LoRA; bat also builds a product with the whole '
            'weight.'),
        'not_where': 'A tool that only reads LoRA is to load the adapter unmerged.',
        'pitfall': 'For bat the rank divides inputs and outputs of every layer.',
    },
    'delora': {
        'what': (
            'Every rank has unit norm, and one number bounds how far a layer can go from its weight. Learning '
            'rates and run lengths that break a LoRA leave it whole.'),
        'memory': 'r (out + in) + 1 weights a layer with their 16 bytes; the norm of each frozen weight is kept.',
        'not_where': 'Nothing is known of the bound that the task needs; quantised weights.',
        'pitfall': 'A bound that is too small holds the loss up: raise --delora_lambda before the learning rate.',
    },
    'hira': {
        'what': (
            'A LoRA multiplied with the weight entry by entry, so that the difference can have the rank of the '
            'weight. For tasks (commonsense, dialogue, sums in the paper) where LoRA learns too little.'),
        'memory': 'r (out + in) weights a layer with their 16 bytes; the product [out, in] is built in each step.',
        'not_where': 'Memory is short.',
        'pitfall': 'Entries of W near zero stay near zero, so that it can take a larger learning rate than LoRA.',
    },
    'gralora': {
        'what': (
            "LoRA in blocks. A few extreme inputs disturb a large LoRA's gradient everywhere; here they stay in "
            'their blocks, so that ranks of 64 and more still help.'),
        'memory': 'r (out + in) weights a layer with their 16 bytes, and small activations for each block.',
        'not_where': 'Small ranks, where LoRA does as well; layers that k does not divide.',
    },
    'shira': {
        'what': (
            'A few entries of the weights themselves are trained. Switching adapters means overwriting a percent '
            'of the weights, and several adapters hardly touch each other, so they can be used together.'),
        'memory': (
            "r (out + in) weights a layer with their 16 bytes and the indices of their places; a layer's whole "
            'gradient [out, in] is built for a moment.'),
        'not_where': 'Memory is short.',
    },
    'road': {
        'what': (
            'Pairs of outputs are rotated and scaled. That is a product entry by entry, so that a batch whose rows '
            'have different adapters costs hardly more than one adapter.'),
        'memory': (
            'One to four numbers an output with their 16 bytes, and one more activation the size of the output.'),
        'not_where': 'Much is to be learnt.',
    },
    'ln_tuning': {
        'what': (
            'The normalisations alone are trained. The paper turns language models into readers of images with it; '
            'for text it changes tone and form more than knowledge.'),
        'memory': 'Some thousand weights a block; all memory is activations.',
        'not_where': 'Much is to be learnt.',
        'pitfall': 'Its default targets are the normalisations (LN), not linear layers.',
    },
    'glora': {
        'what': (
            'Scales the weight, adds to it, and moves the bias, each in a form that you choose. It has LoRA, '
            'scaled weights and tuned biases as special cases, and all of it merges.'),
        'memory': (
            'With everything low-rank about 2 r (out + in) weights a layer with their 16 bytes; W * A [out, in] is '
            'built in each step.'),
        'not_where': 'Memory is short; quantised weights.',
    },
    'deft': {
        'what': (
            'What is added to a weight is first taken out of the same subspace: new knowledge in the place of old. '
            'It comes from image models that learn a subject without losing the others.'),
        'memory': (
            'r (out + in) weights a layer with their 16 bytes; the changed weight [out, in] is built in each step.'),
        'not_where': 'Memory is short; the base must be met to the last bit at the start; quantised weights.',
    },
    'peanut': {
        'what': (
            'The change of a weight is a small network of the weight itself, so that at the same number of weights '
            'it can say more than a product of two free matrices.'),
        'memory': (
            '2 r out weights a layer (and r^2 for each inner layer) with their 16 bytes; f runs over the whole '
            'weight, and its hidden activations [in, r] are kept.'),
        'not_where': 'Speed matters: a network runs over every weight in each step. Quantised weights.',
    },
    'psoft': {
        'what': (
            "A rotation within the main directions of each weight: OFT's care for what the model knows, at a "
            'hundredth of the weights of a LoRA.'),
        'memory': (
            'About r^2 / 2 + 2 r weights a layer with their 16 bytes; A and B [r (out + in)] lie frozen on the '
            'device.'),
        'not_where': (
            'A quick start, since each weight is decomposed; ranks above the smaller side of a layer; quantised '
            'weights.'),
    },
    'supertuning': {
        'what': (
            'A percent of the entries of each weight is trained: the largest, on which a model leans most. With '
            '--supertuning_rank a LoRA stands beside it.'),
        'memory': (
            "(1 - sparsity) out in weights a layer with their 16 bytes and indices; a layer's whole gradient is "
            'built for a moment.'),
        'not_where': 'Memory is short; quantised weights.',
    },
    'tinylora': {
        'what': (
            'Some dozens of numbers a layer, or for all layers together. The paper teaches a good base model to '
            'reason with reinforcement learning by it; the signal of a reward needs no more.'),
        'memory': 'u weights a layer; frozen factors r (out + in) beside each. All memory is activations.',
        'not_where': (
            'Much is to be learnt, as in supervised training on new knowledge; a quick start, since each weight is '
            'decomposed; quantised weights.'),
    },
    'unilora': {
        'what': (
            'One vector for the whole model: every entry of a LoRA points into it. Raise its length to tens of '
            "thousands for the paper's results; 256 is a start for experiments."),
        'memory': (
            'theta weights; the indices take the room of a LoRA of rank r, and so do its matrices while a step '
            'runs.'),
        'not_where': 'Much is to be learnt; a start that is the base model; quantised weights.',
    },
    'beft': {
        'what': 'A trained bias on every target, the cheapest change there is: nothing is multiplied.',
        'memory': 'One number an output with its 16 bytes.',
        'not_where': 'The adapter must be merged: most layers have no bias that could hold it. Much is to be learnt.',
    },
    'longlora': {
        'what': (
            'For rows of many thousands of tokens. While training, a token sees its group only, so that attention '
            'costs a quarter; half of the heads have their groups shifted, which lets groups exchange what they '
            'know. Afterwards attention is the plain one and the adapter an ordinary LoRA.'),
        'memory': (
            'A LoRA, and 16 bytes for every weight of the embeddings (and a copy of them): 22 % of a model of 1B. '
            'Attention takes the ratio of its usual time and memory.'),
        'not_where': 'Short rows; models with sliding windows or capped attention (refused); little memory.',
        'pitfall': 'Rows are padded and cut by their own length. --attn_impl is refused, since attention is its own.',
    },
    'prompt_tuning': {
        'what': (
            'A prompt that is learnt instead of written. One frozen model serves any number of tasks, and each '
            'costs about a hundred kilobytes. The larger the model, the nearer it comes to full training.'),
        'memory': (
            'v D weights with their 16 bytes. The backward pass still goes through the whole model, and each row '
            'is v tokens longer.'),
        'not_where': 'Small models and short runs.',
        'pitfall': (
            'The paper takes a learning rate of 0.3 and tens of thousands of steps; with 1e-4 hardly anything '
            'happens. `--prompt_tuning_init text` with a sentence about the task starts better than random words.'),
    },
    'p_tuning': {
        'what': (
            'Prompt tuning whose virtual tokens come out of a small network, so that they move together and are '
            'easier to train. What is saved is the finished prompt: as small as that of prompt_tuning.'),
        'memory': (
            'The network has several D x hidden weights (1 % of a model of 1B by default) with their 16 bytes; '
            'each row is v tokens longer.'),
        'not_where': 'As prompt_tuning, though less so.',
        'pitfall': (
            'The network is kept in checkpoints alone. A finished adapter can not be trained further as it was.'),
    },
    'prefix_tuning': {
        'what': (
            "Keys and values in front of every layer's own, which rows attend to: prompts that reach every layer. "
            'It learns more than prompt_tuning and works on small models, too.'),
        'memory': (
            '2 L v heads d weights, with the projection more, 16 bytes each; the cache is v positions longer in '
            'training and answering.'),
        'not_where': (
            'Where --gradient_checkpointing is needed (refused): its keys come in through the cache, which '
            'recomputing empties.'),
    },
    'part': {
        'what': (
            'Chosen modules are trained whole, as copies that can be switched off and are saved alone: a head, a '
            'norm, one block, the projector of a model that sees. For parts where a LoRA is too little and full '
            'training of everything too much.'),
        'memory': '16 bytes for every weight of the chosen modules, and the frozen originals beside the copies.',
        'not_where': 'Large parts; quantised weights, ZeRO-3 and FSDP (refused).',
        'pitfall': (
            'There is no default: name modules with --target_modules. Learning rates are those of full training.'),
    },
    'llamapro': {
        'what': (
            'New blocks between those of the model, and only these are trained: room for new knowledge (a '
            'language, a field) while the old blocks stay as they are. Merged it is an ordinary deeper checkpoint.'),
        'memory': (
            '16 bytes for every weight of the new blocks (4 of 20: a fifth of the model), and their activations; '
            'every answer takes longer by as many blocks.'),
        'not_where': (
            'Little memory; quantised weights, ZeRO-3 and FSDP (refused); a model that must not become slower.'),
        'pitfall': (
            'A few architectures can not be made deeper (told before training). Four new blocks are few for a '
            'large model: the paper adds 8 to a model of 32.'),
    },
    'reft': {
        'what': (
            'Hidden states behind chosen blocks are edited in a subspace of few dimensions; no weight is touched. '
            'For changes of behaviour, style and format it needs ten times fewer weights than a LoRA.'),
        'memory': (
            '2 r d + r weights a block with their 16 bytes, in float32 always; one more activation [r] a position.'),
        'not_where': (
            'An ordinary checkpoint is wanted (there is nothing to merge); much new knowledge; ZeRO-3 and FSDP '
            '(refused).'),
        'pitfall': (
            'Every position is edited, prompt and answer; the paper also edits the first and last positions of a '
            'prompt alone.'),
    },
    'adapter': {
        'what': (
            'A small network behind the MLP of each block: the oldest of these methods, still strong, and what '
            'many papers compare with. It goes on any module whose output are hidden states, of encoders and UNets '
            'as well.'),
        'memory': '2 length dim weights a block with their 16 bytes, and activations [length] a position.',
        'not_where': (
            'The adapter is to be merged (refused): it costs a little time in every answer. ZeRO-3 and FSDP '
            '(refused).'),
    },
    'side': {
        'what': (
            'The frozen network goes on whatever you do; a second one beside it is mixed into what it gives. It '
            'was made for image models that learn task after task without forgetting.'),
        'memory': 'A whole MLP beside that of each block, about a tenth of the model in weights with 16 bytes each.',
        'not_where': 'Merging (refused); little memory; ZeRO-3 and FSDP (refused).',
        'pitfall': 'It starts as 98 % of the model: s is sigmoid(4). A larger --side_alpha starts nearer.',
    },
    'restuning': {
        'what': (
            'A small network runs beside the frozen one, fed by the outputs of its blocks, and changes what the '
            'last normalisation is given. The backward pass never enters the model, so that none of its '
            'activations are kept.'),
        'memory': (
            '4 length dim weights a block with their 16 bytes, and the hidden states between blocks. On long rows '
            'the activations that it does without are most of the memory.'),
        'not_where': (
            'Merging (refused); much is to be learnt: it works on what the frozen blocks give. ZeRO-3 and FSDP '
            '(refused).'),
    },
    'full': {
        'what': (
            'All weights, or all but the frozen ones: the most that can be learnt, for continued pre-training, new '
            'languages and large data. --freeze_parameters_ratio 0.5 leaves the lower half of the model as it is, '
            'which saves memory and keeps more of what it knows.'),
        'memory': (
            'With float32 weights 16 bytes a trained weight and 4 a frozen one. Optimizers and schedules that need '
            'less: galore, apollo, muon, lisa, badam.'),
        'not_where': (
            'Few rows; many versions of one model, each of which would be a whole checkpoint; quantised weights '
            '(refused).'),
        'pitfall': "Take a tenth of LoRA's learning rate: 1e-5.",
    },
    'lisa': {
        'what': (
            'Full training of a few random blocks at a time. In the end every weight was trained, with gradients '
            'and moments of a fraction of them at a time, and the result is an ordinary checkpoint.'),
        'memory': (
            'Gradients and moments of embeddings, head and n blocks; moments of a block are dropped when it '
            'freezes.'),
        'not_where': (
            'Runs too short for every block to have its turn; --deepspeed and --fsdp (refused). With several '
            "processes only the optimizer's states shrink."),
        'pitfall': 'Embeddings are trained always: in small models they are most of what it keeps.',
    },
    'badam': {
        'what': (
            'One block at a time, in order. It is full training with the gradients and moments of one block: the '
            'smallest that there is here for training ordinary weights.'),
        'memory': 'Weights, and gradients and moments of a single block.',
        'not_where': (
            'New tokens or languages (the embeddings stay frozen); runs shorter than k steps for each block; '
            '--deepspeed and --fsdp (refused).'),
    },
    'galore': {
        'what': (
            'AdamW whose moments live in a small space of each gradient, which is found anew from time to time. '
            "All weights are trained, with a fraction of AdamW's states."),
        'memory': (
            '2 n r + m r numbers a matrix (m <= n) instead of 2 m n. With --galore_optim_per_parameter true '
            'gradients are dropped as they come, too.'),
        'not_where': (
            'Steps must be quick at short gaps: each gap decomposes every gradient. --deepspeed and --fsdp '
            '(refused).'),
        'pitfall': "--galore_rank: about a quarter of the model's width.",
    },
    'q_galore': {
        'what': (
            "GaLore in a quarter of its states, with fewer decompositions. Of the paper's four parts three are "
            'here; weights are not kept in INT8.'),
        'memory': '2 n r bytes for moments and m r / 2 bytes for the basis at 4 bits.',
        'not_where': 'As galore; layers so small that states of under 4096 numbers stay float32.',
    },
    'apollo': {
        'what': (
            'AdamW mostly tells how large the step of a channel is, and for that a random projection is enough. It '
            'needs no decompositions; Mini, with rank 1, takes the memory of plain SGD.'),
        'memory': '2 n r + 1 numbers a matrix, Mini 2 n + 1; the projection comes from a seed and is never kept.',
        'not_where': '--deepspeed and --fsdp (refused).',
    },
    'muon': {
        'what': (
            'Each step is made orthogonal, so that rare directions learn as much as common ones: fewer steps to '
            "the same loss. It takes hidden matrices; embeddings, head and vectors are AdamW's. It goes with "
            'adapters, too.'),
        'memory': "m n numbers a matrix, half of AdamW's.",
        'not_where': 'Adapters of rank 1; learning rates under 1e-5; --deepspeed and --fsdp (refused).',
    },
    'neftune': {
        'what': (
            'Noise on the embeddings while training, beside any other method. The paper finds longer and better '
            'liked answers after instruction tuning on small sets.'),
        'memory': 'None: there are no weights.',
        'not_where': 'Facts and formats that must be met exactly; continued pre-training.',
        'pitfall': 'L is the length of the row itself, in padded batches and where rows share a line.',
    },
    'qlora': {
        'what': (
            'A LoRA (or most other adapters) on weights of 4 or 8 bits: a model four times as large fits. '
            'Checkpoints are plain adapters, and --merge_lora true merges them into the 16-bit weights.'),
        'memory': (
            'About 0.52 bytes a frozen weight at 4 bits, embeddings and head in 16 bits; the adapter as usual. A '
            "layer's weight is built in 16 bits for each product."),
        'not_where': (
            'The model fits in 16 bits: it is quicker there and its gradients are nearer. Full training, '
            '--deepspeed zero3 and --fsdp (refused).'),
        'pitfall': 'Which methods work on which weights: [training on quantised weights](../quantised_training.md).',
    },
    'scetuning': {
        'what': (
            'Small networks on the skip connections of a diffusion UNet: styles and control for images, in Python '
            'only. Gradients pass the decoder alone.'),
        'memory': (
            '2 down_ratio dim^2 weights a skip connection with their 16 bytes; no activation of the encoder is '
            'kept.'),
        'not_where': 'Models without skip connections; merging (refused).',
    },
    'visual_prompt': {
        'what': (
            'Learned tokens among those of each chosen layer of an encoder such as a ViT, in Python only. For '
            'language models take prompt_tuning.'),
        'memory': 'prompt_length dim weights a layer with their 16 bytes; rows are longer by as many tokens.',
        'not_where': 'Language models; merging (refused); a start that is the base model.',
        'pitfall': 'A model that reads its first token wants extract_embedding=True or attach_front=False.',
    },
}

LORA = {
    'rsLoRA': (
        'The scale falls with the root of the rank, so that large ranks (64 and more) learn as quickly as small '
        'ones. Adapters of other scales have another best alpha: with rank 64, alpha 32 gives 4 instead of 0.5.'),
    'DoRA': (
        'Direction and length of each row of the weight are trained apart, which comes nearer to full training at '
        'small ranks. It costs a norm of the whole weight in each step: clearly slower, with more memory. On 8-bit '
        'weights it needs a GPU.'),
    'LoRA+': (
        'B, which starts at zero, learns with a larger rate than A. 10 to 16 is usual; lower --learning_rate a '
        'little with it. It goes with every AdamW and with Muon.'),
    'PiSSA': (
        'The main directions of each weight are trained, the rest is frozen: quicker convergence than from zero. '
        'pissa_niter_16 takes seconds where the exact decomposition takes minutes. What is saved fits the base as '
        'it was, as a LoRA of twice the rank. Like olora, eva, corda and lora-ga it needs whole weights: ZeRO-3 '
        'and FSDP are refused; those that change the base refuse quantised weights, too.'),
    'OLoRA': "An orthonormal start, cheaper to compute than PiSSA's. Saved as PiSSA.",
    'LoftQ': (
        'For models of few bits: the adapter starts as what the quantisation took away, so that training begins '
        'nearer to the model of 16 bits. The adapter belongs to this quantised base: loaded on another, or merged '
        'into the 16-bit weights, it is refused. Details: [training on quantised '
        'weights](../quantised_training.md#methods).'),
    'EVA': (
        'The rows themselves say which directions matter, and ranks move to the layers where they explain most '
        '(--eva_rho). It starts as the base model and leaves the base as it is.'),
    'CorDA': (
        '`--corda_method ipm` adapts what the rows use most, kpm what they use least, which keeps the knowledge in '
        'them: give rows of what must not be lost. Saved as PiSSA.'),
    'LoRA-GA': (
        'The first step goes where full training would go. The gradient of every adapted weight is in memory at '
        'once for a moment: as much as those weights take. Saved as PiSSA.'),
}
