/* Devices: what is behind a device node, and devtmpfs, which has the usual ones. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct file;
struct inode;

/* Makes f a file of the device; -ENXIO, ... */
typedef int (*device_open_fn)(struct inode *inode, uint64_t rdev, struct file *f);

/* Character devices [minor, minor + count) of major; before any task runs. */
void chrdev_register(unsigned major, unsigned minor, unsigned count, device_open_fn open);
/* vfs_special_ops.open_device: -ENXIO for a device that does not exist. */
int dev_open(struct inode *inode, uint64_t rdev, bool block, struct file *f);

/* Registers the devices and the types devtmpfs and devpts, and makes FIFOs and device nodes open
 * (vfs_special). Once, at start. */
int dev_init(void);

/* mem.c: null, zero, full, random, urandom, kmsg */
void mem_devices_register(void);
/* devtmpfs.c */
int devtmpfs_register(void);
