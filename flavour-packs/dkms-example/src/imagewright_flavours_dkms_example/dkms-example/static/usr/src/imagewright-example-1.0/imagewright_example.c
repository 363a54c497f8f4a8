// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/* Greets in the kernel's log; the greeting is a parameter of the module. */
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>

static char *greeting = "built for this kernel";
module_param(greeting, charp, 0444);
MODULE_PARM_DESC(greeting, "what the module says when it is loaded");

static int __init example_init(void)
{
	pr_info("imagewright_example: %s\n", greeting);
	return 0;
}

static void __exit example_exit(void)
{
	pr_info("imagewright_example: goodbye\n");
}

module_init(example_init);
module_exit(example_exit);

MODULE_DESCRIPTION("Imagewright's example of a module that DKMS builds");
MODULE_LICENSE("GPL");
MODULE_VERSION("1.0");
