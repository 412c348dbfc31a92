"""archscope's count beside those of other tools and of publications."""
